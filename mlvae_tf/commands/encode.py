"""Encode observations into a content store: a table with a row per group.

    python encode.py --workdir=DIR --output=PATH [--dataset=SPEC] [flags]

streams all observations of a dataset through the encoder of a trained run and
writes what they tell of their groups: group, count, precision, weighted_loc,
loc, scale, and which observations they were. A PATH in .parquet is a store;
one in .csv, with a column per dimension, is for others to read. Evidence adds
up, so a store takes new observations without the old ones, gives some back, or
joins another:

    python encode.py ... --update=STORED                # add the dataset's
    python encode.py ... --update=STORED --stored=skip  # only its new ones
    python encode.py ... --update=STORED --remove       # take them back out
    python encode.py --merge=A,B --output=PATH          # join tables

With --beam the same job is a pipeline of Apache Beam, whose flags follow `--`:

    python encode.py ... --beam -- --runner=FlinkRunner

Of a run with several levels PATH is a folder, with a table for each of them, as
--update and --merge then take it.

With --per_observation the table has a row per observation, in the dataset's
order: row (of a folder: also path), group, content_loc, content_scale,
style_loc, style_scale; of a dataset with a test split, also split. Of several
levels their names take the place of group and content.

Installed, it is `mlvae-encode`.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from mlvae_tf import files
from mlvae_tf.data.config import DataConfig
from mlvae_tf.errors import InputError
from mlvae_tf.runs import command_line

if TYPE_CHECKING:
    from mlvae_tf.runs.encoding import Task
    from mlvae_tf.store.tables import LevelStores


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of the run.")
    flags.DEFINE_string(
        "output",
        None,
        "The table to write: .parquet, .csv or .csv.gz; of several levels "
        "their folder.",
    )
    flags.DEFINE_bool("overwrite", False, "Replace the output.")
    flags.DEFINE_string(
        "update", None, "Add the observations to what is stored there."
    )
    flags.DEFINE_bool(
        "remove", False, "Take them out of what is in --update instead."
    )
    flags.DEFINE_list(
        "merge", [], "Join these tables, comma-separated, and encode nothing."
    )
    flags.DEFINE_enum(
        "stored",
        None,
        ["refuse", "skip", "add"],
        "What to do where observations to add are in the table already: add "
        "nothing (the default), only the others, or all, so that they count "
        "twice.",
    )
    flags.DEFINE_bool(
        "per_observation", False, "Write a row per observation, not per group."
    )
    flags.DEFINE_enum(
        "split",
        None,
        ["train", "validation", "test", "unseen"],
        "Encode this part of the dataset only.",
    )
    flags.DEFINE_integer(
        "batch_size", 1024, "Observations to encode at once.", lower_bound=1
    )
    flags.DEFINE_bool(
        "beam", False, "Run as an Apache Beam pipeline; its flags follow --."
    )
    command_line.define_flags(DataConfig)


def main(beam_flags: list[str]) -> None:
    """Write a content store, or a row per observation."""
    given = flags.FLAGS
    if not given.output:
        raise InputError("--output=PATH is required.")
    output = pathlib.Path(given.output).expanduser()
    _check_together(beam_flags)
    if not given.per_observation and _has_levels():
        files.prepare_folder(output, given.overwrite)
    else:
        files.check_suffix(output, files.TABLES)
        files.prepare(output, given.overwrite)

    command_line.import_tensorflow()
    if given.per_observation:
        _write_observations(output)
        return
    stores = _stores(output, beam_flags)
    stores.save(output)
    _print(stores, output)


def _check_together(beam_flags: list[str]) -> None:
    """Raise `InputError` for flags that mean nothing together."""
    given = flags.FLAGS
    if beam_flags and not given.beam:
        raise InputError(f"{beam_flags[0]} after -- is Beam's: pass --beam.")
    for name in ("update", "merge", "remove", "stored", "beam"):
        if given.per_observation and given[name].value:
            raise InputError(
                "--per_observation makes no store of groups: drop it, or "
                f"--{name}."
            )
    if given.remove and not given.update:
        raise InputError("--remove takes out of a table: pass --update=PATH.")
    if given.merge and (given.update or given.beam):
        raise InputError("--merge encodes nothing: drop --update and --beam.")
    if given.stored and (given.remove or not (given.update or given.merge)):
        raise InputError(
            f"--stored={given.stored} is about observations that are added to "
            "a table: pass --update=PATH or --merge, without --remove."
        )
    if given.merge and given.stored == "skip":
        raise InputError(
            "--stored=skip needs the observations themselves; a table holds "
            "sums of them. Encode those of one table's dataset with "
            "--update=THE_OTHER --stored=skip."
        )


def _has_levels() -> bool:
    """Whether there is a table for each of several levels."""
    from mlvae_tf.runs import config

    if flags.FLAGS.merge:
        paths = [pathlib.Path(name).expanduser() for name in flags.FLAGS.merge]
        return all(path.is_dir() for path in paths)
    run = config.load(command_line.folder("workdir") / "config.json")
    return len(run.data.groups or ()) > 1


def _stores(output: pathlib.Path, beam_flags: list[str]) -> LevelStores:
    from mlvae_tf.runs import storing

    given = flags.FLAGS
    stored = given.stored or "refuse"
    if given.merge:
        return storing.merged(given.merge, twice=stored == "add")
    encode = (
        storing.by_beam(output, beam_flags) if given.beam else storing.stream
    )
    return storing.encoded(_task(), encode, given.update, given.remove, stored)


def _print(stores: LevelStores, output: pathlib.Path) -> None:
    """Say how much is in the tables of a file, or of a folder."""
    said = {
        name: f"{table.counts.sum()} observations, {len(table)} groups"
        for name, table in stores.all_tables().items()
    }
    if output.is_file():
        print(*said.values(), sep="", end=f": {output}\n")
        return
    for name, words in said.items():
        print(f"{name}: {words}")
    print(output)


def _task() -> Task:
    from mlvae_tf.runs.encoding import Task

    given = flags.FLAGS
    return Task.of(
        command_line.folder("workdir"),
        command_line.given_flags(DataConfig),
        given.split,
        given.batch_size,
    )


def _write_observations(output: pathlib.Path) -> None:
    from mlvae_tf.runs import workdir
    from mlvae_tf.store import embeddings

    task = _task()
    if task.has_paths:  # In memory, observations have no names.
        task = task.from_disk()
    model = workdir.load_model(task.workdir)
    parts, notes = task.open()
    for note in notes:
        print(note, flush=True)
    embeddings.write(model, parts, output, task.batch_size, task.has_paths)
    print(f"{sum(len(part.rows) for part in parts)} observations: {output}")


def run() -> None:
    """The command."""
    _define_flags()
    command_line.run(main, __doc__, passes_on=True)


flags.disclaim_key_flags()  # They are the script's.
