"""Train a Multi-Level VAE.

    python train.py --workdir=DIR [--preset=NAME] [--dataset=SPEC] [flags]

leaves in DIR the configuration, checkpoints, TensorBoard logs, the Keras model
and the exported SavedModel. `python evaluate.py --workdir=DIR` comes next.

Installed, it is `mlvae-train`.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
from typing import Any

from absl import flags

from mlvae_tf import cluster
from mlvae_tf.cluster import Task
from mlvae_tf.data.config import DataConfig
from mlvae_tf.errors import InputError
from mlvae_tf.runs import command_line, devices, presets, workdir
from mlvae_tf.runs import config as config_module
from mlvae_tf.runs.config import Config, ModelConfig, TrainingConfig

SECTIONS = DataConfig, ModelConfig, TrainingConfig


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of the run.")
    flags.DEFINE_string(
        "preset",
        None,
        f"A whole setting, which other flags override: "
        f"{', '.join(presets.PRESETS)}.",
    )
    flags.DEFINE_bool("list_presets", False, "Print the presets, and end.")
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Print what would be trained, with what is chosen from the data, and "
        "write nothing.",
    )
    flags.DEFINE_bool("resume", False, "Go on with the run in workdir.")
    flags.DEFINE_bool("overwrite", False, "Replace the run in workdir.")
    flags.DEFINE_enum(
        "distribution",
        None,
        ["mirrored", "multi_worker"],
        "Train with several workers, to the same gradient as with one. "
        "mirrored: one for every GPU of this machine, started from here. "
        "multi_worker: this command with the same flags for each of them, and "
        "TF_CONFIG to name them all and which one it is.",
    )
    command_line.define_flags(*SECTIONS)


def _init_from(
    name: str, folder: pathlib.Path | None = None
) -> tuple[Config, str]:
    """The settings of the run to start from, and its absolute path.

    Args:
        name: Its folder.
        folder: That of the new run, if it is to be written.
    """
    source = pathlib.Path(name).expanduser().absolute()
    if folder and source == folder.absolute():
        raise InputError(
            "--init_from must be another run than --workdir, which is written "
            "anew: copy the run, or go on with --resume."
        )
    return config_module.load(source / "config.json"), str(source)


def _list_presets() -> None:
    """Each with the flags that it stands for."""
    for name, settings in presets.PRESETS.items():
        print(f"--preset={name}")
        for field, value in settings.items():
            print(f"    --{field}={command_line.format_value(value)}")


def _settings() -> dict[str, Any]:
    """What flags say, of which those of a preset come last."""
    settings = command_line.given_flags(*SECTIONS)
    if "steps" in settings:
        if "epochs" in settings:
            raise InputError(
                "--steps and --epochs both say how long: drop one."
            )
        settings["epochs"] = None  # Chosen anew.
    if flags.FLAGS.preset:
        settings = {**presets.preset(flags.FLAGS.preset), **settings}
    return settings


def main() -> None:
    """Train a run, or go on with it."""
    given = flags.FLAGS
    if given.list_presets:
        return _list_presets()
    settings = _settings()
    if given.dry_run:
        if given.resume:
            raise InputError(
                "--dry_run tells of a new run, and --resume goes on with one: "
                "drop one of the two."
            )
        config = Config()
        if given.init_from:
            config, settings["init_from"] = _init_from(given.init_from)
        return _describe(config.replace(settings))
    folder = command_line.folder("workdir")
    config = Config()
    task = cluster.task() if given.distribution == "multi_worker" else None
    if task is None or task.number == 0:
        resume = workdir.prepare(folder, given.resume, given.overwrite)
    else:  # The first worker writes.
        resume = given.resume and (folder / "config.json").exists()
    if resume:
        config = config_module.load(folder / "config.json")
    if given.init_from and not resume:
        config, settings["init_from"] = _init_from(given.init_from, folder)
    config = config.replace(settings)
    if given.distribution != "mirrored":
        return _train(config, folder, resume, task)
    with devices.workers() as task:
        if task is None:
            print("one device or none: trained as without --distribution")
        _train(config, folder, resume, task)


def _train(
    config: Config, folder: pathlib.Path, resume: bool, task: Task | None
) -> None:
    """Train, as one of several workers if this is one."""
    command_line.import_tensorflow()
    from mlvae_tf.replicas import ALONE, Workers
    from mlvae_tf.runs import training

    workers = ALONE
    if task:
        said = f"worker {task.number + 1} of {len(task.addresses)}"
        print(f"{said} waits for the others", file=sys.stderr, flush=True)
        with command_line.killable():
            workers = Workers.join(task)
    with contextlib.redirect_stdout(sys.stdout if workers.is_first else None):
        training.train(config, folder, resume, workers)
    if workers.is_first:
        evaluate = command_line.sibling("evaluate")
        print(f"Trained. Next: {evaluate} --workdir={folder}")


def _describe(config: Config) -> None:
    """Print what would be trained."""
    command_line.import_tensorflow()
    from mlvae_tf.evaluation import tables
    from mlvae_tf.runs import planning

    print(tables.as_text(planning.describe(config)))


def run() -> None:
    """The command."""
    _define_flags()
    command_line.run(
        main, __doc__, interrupted="interrupted; go on with --resume"
    )


flags.disclaim_key_flags()  # They are the script's.
