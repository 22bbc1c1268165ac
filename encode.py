"""Encode observations into a content store: a table with a row a group.

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
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

import functools
import pathlib
from typing import TYPE_CHECKING

from absl import flags

from mlvae_tf import command_line, workdir
from mlvae_tf.config import DataConfig
from mlvae_tf.errors import InputError

if TYPE_CHECKING:
    from mlvae_tf.store import ContentStore

flags.DEFINE_string("workdir", None, "Folder of the run.")
flags.DEFINE_string("output", None, "The table to write.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the output.")
_UPDATE = flags.DEFINE_string(
    "update", None, "Add the observations to this stored table."
)
_REMOVE = flags.DEFINE_bool(
    "remove", False, "Take them out of the table of --update instead."
)
_MERGE = flags.DEFINE_list(
    "merge", [], "Join these tables, comma-separated, and encode nothing."
)
_SPLIT = flags.DEFINE_enum(
    "split",
    None,
    ["train", "validation", "test", "unseen"],
    "Encode this part of the dataset only.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 1024, "Observations to encode at once.", lower_bound=1
)
_BEAM = flags.DEFINE_bool(
    "beam", False, "Run as an Apache Beam pipeline; its flags follow --."
)
command_line.define_flags(DataConfig)
flags.adopt_module_key_flags(command_line)


def main(beam_flags: list[str]) -> None:
    if not flags.FLAGS.output:
        raise InputError("--output=PATH is required.")
    output = pathlib.Path(flags.FLAGS.output).expanduser()
    if beam_flags and not _BEAM.value:
        raise InputError(f"{beam_flags[0]} after -- is Beam's: pass --beam.")
    if _REMOVE.value and not _UPDATE.value:
        raise InputError("--remove takes out of a table: pass --update=PATH.")
    if _MERGE.value and (_UPDATE.value or _BEAM.value):
        raise InputError("--merge encodes nothing: drop --update and --beam.")
    if not _MERGE.value:
        command_line.folder("workdir")
    workdir.prepare_file(output, _OVERWRITE.value)

    command_line.import_tensorflow()
    store = merged() if _MERGE.value else encoded(output, beam_flags)
    store.save(output)
    print(f"{store.counts.sum()} observations, {len(store)} groups: {output}")


def merged() -> ContentStore:
    from mlvae_tf.store import ContentStore

    tables = [pathlib.Path(name).expanduser() for name in _MERGE.value]
    return functools.reduce(ContentStore.merge, map(ContentStore.load, tables))


def encoded(output: pathlib.Path, beam_flags: list[str]) -> ContentStore:
    from mlvae_tf import encoding
    from mlvae_tf.store import ContentStore

    task = encoding.Task.of(
        command_line.folder("workdir"),
        command_line.given_flags(DataConfig),
        _SPLIT.value,
        _BATCH_SIZE.value,
    )
    model, parts = task.load_model(), task.parts()
    stored = None
    if _UPDATE.value:
        stored = ContentStore.load(pathlib.Path(_UPDATE.value).expanduser())
        encoding.check_adds_up(stored, model, parts)
    if _BEAM.value:
        from mlvae_tf import beam

        new = beam.encode(task, model, parts, output, beam_flags)
    else:
        new = encoding.encode(model, parts, task.batch_size)
    if stored is None:
        return new
    return stored.remove(new) if _REMOVE.value else stored.merge(new)


if __name__ == "__main__":
    command_line.run(main, passes_on=True)
