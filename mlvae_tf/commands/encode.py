"""Encode observations into a content store: a table with a row per group.

    python encode.py --workdir=DIR --output=PATH [--dataset=SPEC] [flags]

streams all observations of a dataset through the encoder of a trained run and
writes what they tell of their groups as Parquet: group, count, precision,
weighted_loc, loc, scale. Evidence adds up, so a stored table takes new
observations without the old ones, gives some back, or joins another:

    python encode.py ... --update=STORED           # add the dataset's
    python encode.py ... --update=STORED --remove  # take them back out
    python encode.py --merge=A,B --output=PATH     # join tables

With --beam the same job is a pipeline of Apache Beam, whose flags follow `--`:

    python encode.py ... --beam -- --runner=FlinkRunner

Installed, it is `mlvae-encode`.
"""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING

from absl import flags

from mlvae_tf import files
from mlvae_tf.data.config import DataConfig
from mlvae_tf.errors import InputError, require
from mlvae_tf.runs import command_line

if TYPE_CHECKING:
    from mlvae_tf.store.table import ContentStore


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of the run.")
    flags.DEFINE_string("output", None, "The table to write.")
    flags.DEFINE_bool("overwrite", False, "Replace the output.")
    flags.DEFINE_string(
        "update", None, "Add the observations to this stored table."
    )
    flags.DEFINE_bool(
        "remove", False, "Take them out of the table of --update instead."
    )
    flags.DEFINE_list(
        "merge", [], "Join these tables, comma-separated, and encode nothing."
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
    """Write a content store."""
    given = flags.FLAGS
    if not given.output:
        raise InputError("--output=PATH is required.")
    output = pathlib.Path(given.output).expanduser()
    if beam_flags and not given.beam:
        raise InputError(f"{beam_flags[0]} after -- is Beam's: pass --beam.")
    if given.remove and not given.update:
        raise InputError("--remove takes out of a table: pass --update=PATH.")
    if given.merge and (given.update or given.beam):
        raise InputError("--merge encodes nothing: drop --update and --beam.")
    if not given.merge:
        command_line.folder("workdir")
    files.prepare(output, given.overwrite)

    command_line.import_tensorflow()
    store = _merged() if given.merge else _encoded(output, beam_flags)
    store.save(output)
    print(f"{store.counts.sum()} observations, {len(store)} groups: {output}")


def _merged() -> ContentStore:
    from mlvae_tf.store.table import ContentStore

    tables = [pathlib.Path(name).expanduser() for name in flags.FLAGS.merge]
    return functools.reduce(ContentStore.merge, map(ContentStore.load, tables))


def _encoded(output: pathlib.Path, beam_flags: list[str]) -> ContentStore:
    from mlvae_tf.runs.encoding import Task
    from mlvae_tf.store import encoding
    from mlvae_tf.store.table import ContentStore

    given = flags.FLAGS
    task = Task.of(
        command_line.folder("workdir"),
        command_line.given_flags(DataConfig),
        given.split,
        given.batch_size,
    )
    model, parts = task.load_model(), task.parts()
    stored = None
    if given.update:
        stored = ContentStore.load(pathlib.Path(given.update).expanduser())
        encoding.check_adds_up(stored, model, parts)
    if given.beam:
        require("beam", "apache_beam")
        from mlvae_tf.store import beam

        new = beam.encode(
            task,
            model,
            task.export(),
            task.batch_size,
            output,
            beam_flags,
        )
    else:
        new = encoding.encode(model, parts, task.batch_size)
    if stored is None:
        return new
    return stored.remove(new) if given.remove else stored.merge(new)


def run() -> None:
    """The command."""
    _define_flags()
    command_line.run(main, __doc__, passes_on=True)


flags.disclaim_key_flags()  # They are the script's.
