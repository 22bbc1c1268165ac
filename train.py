"""Train a Multi-Level VAE.

    python train.py --workdir=DIR [--preset=NAME] [--dataset=SPEC] [flags]

leaves in DIR the configuration, checkpoints, TensorBoard logs, the Keras model
and the exported SavedModel. `python evaluate.py --workdir=DIR` comes next.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from absl import flags

from mlvae_tf import command_line, presets, workdir
from mlvae_tf import config as config_module
from mlvae_tf.config import Config, DataConfig, ModelConfig, TrainingConfig

SECTIONS = DataConfig, ModelConfig, TrainingConfig

flags.DEFINE_string("workdir", None, "Folder of the run.")
_PRESET = flags.DEFINE_string(
    "preset",
    None,
    f"A whole setting, which other flags override: "
    f"{', '.join(presets.PRESETS)}.",
)
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in workdir.")
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace the run in workdir."
)
command_line.define_flags(*SECTIONS)
flags.adopt_module_key_flags(command_line)


def main() -> None:
    folder = command_line.folder("workdir")
    config = Config()
    resume = workdir.prepare(folder, _RESUME.value, _OVERWRITE.value)
    if resume:
        config = config_module.load(folder / "config.json")
    settings = command_line.given_flags(*SECTIONS)
    if _PRESET.value:
        settings = {**presets.preset(_PRESET.value), **settings}

    command_line.import_tensorflow()
    from mlvae_tf import training

    training.train(config.replace(settings), folder, resume)
    print(f"Trained. Next: python evaluate.py --workdir={folder}")


if __name__ == "__main__":
    command_line.run(main, interrupted="interrupted; go on with --resume")
