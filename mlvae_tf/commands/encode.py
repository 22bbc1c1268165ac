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

Of a run with several levels PATH is a folder, with a table for each of them.
--update and --merge take such folders.

With --per_observation the table has a row per observation, in the dataset's
order: row (of a folder: also path), group, content_loc, content_scale,
style_loc, style_scale; of a dataset with a test split, also split. Of several
levels their names take the place of group and content.

Installed, it is `mlvae-encode`.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import TYPE_CHECKING

from absl import flags

from mlvae_tf import files
from mlvae_tf.data.config import DataConfig
from mlvae_tf.errors import InputError, require
from mlvae_tf.runs import command_line

if TYPE_CHECKING:
    from mlvae_tf.data.grouped import GroupedData
    from mlvae_tf.model import MLVAE
    from mlvae_tf.runs.encoding import Task
    from mlvae_tf.store.embeddings import Part
    from mlvae_tf.store.table import ContentStore
    from mlvae_tf.store.tables import LevelStores


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of the run.")
    flags.DEFINE_string(
        "output", None, "The table to write: .parquet, .csv or .csv.gz."
    )
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
        _write_levels(output)
        return
    files.check_suffix(output, files.TABLES)
    files.prepare(output, given.overwrite)

    command_line.import_tensorflow()
    if given.per_observation:
        _write_observations(output)
        return
    store = _merged() if given.merge else _encoded(output, beam_flags)
    store.save(output)
    print(f"{store.counts.sum()} observations, {len(store)} groups: {output}")


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
        return all(pathlib.Path(name).is_dir() for name in flags.FLAGS.merge)
    run = config.load(command_line.folder("workdir") / "config.json")
    return len(run.data.groups or ()) > 1


def _write_levels(output: pathlib.Path) -> None:
    """Write a folder with a content store for every level."""
    given = flags.FLAGS
    if given.beam:
        raise InputError("--beam takes runs of one level so far: drop it.")
    if given.stored == "skip":
        raise InputError(
            "--stored=skip takes tables of one level so far: pass another."
        )
    files.prepare_folder(output, given.overwrite)
    command_line.import_tensorflow()
    from mlvae_tf.store.tables import LevelStores

    def load(name: str) -> LevelStores:
        return LevelStores.load(pathlib.Path(name).expanduser())

    twice = given.stored == "add"
    join = functools.partial(LevelStores.merge, twice=twice)
    if given.merge:
        stores = functools.reduce(join, map(load, given.merge))
    else:
        before = load(given.update) if given.update else None
        stores = _encoded_levels()
        if before is not None:
            combine = LevelStores.remove if given.remove else join
            stores = combine(before, stores)
    stores.save(output)
    for name, table in stores.all_tables().items():
        count = table.counts.sum()
        print(f"{name}: {count} observations, {len(table)} groups")
    print(output)


def _encoded_levels() -> LevelStores:
    from mlvae_tf.runs import workdir
    from mlvae_tf.store import levels
    from mlvae_tf.store.tables import LevelStores

    task = _task()
    model = workdir.load_model(task.workdir)
    stores = [
        levels.encode(
            model,
            data.observations,
            {name: of.ids for name, of in data.levels.items()},
            data.keys,
            task.batch_size,
        )
        for data in (part.data for part in _open(task))
    ]
    # Copies within the dataset count.
    return functools.reduce(
        functools.partial(LevelStores.merge, twice=True), stores
    )


def _task() -> Task:
    from mlvae_tf.runs.encoding import Task

    given = flags.FLAGS
    return Task.of(
        command_line.folder("workdir"),
        command_line.given_flags(DataConfig),
        given.split,
        given.batch_size,
    )


def _open(task: Task) -> list[Part]:
    """The dataset, and what a user should know of it."""
    parts, notes = task.open()
    for note in notes:
        print(note, flush=True)
    return parts


def _write_observations(output: pathlib.Path) -> None:
    from mlvae_tf.runs import workdir
    from mlvae_tf.store import embeddings

    task = _task()
    if task.has_paths:  # In memory, observations have no names.
        task = task.from_disk()
    model = workdir.load_model(task.workdir)
    parts = _open(task)
    embeddings.write(model, parts, output, task.batch_size, task.has_paths)
    print(f"{sum(len(part.rows) for part in parts)} observations: {output}")


def _merged() -> ContentStore:
    from mlvae_tf.store.table import ContentStore

    tables = [pathlib.Path(name).expanduser() for name in flags.FLAGS.merge]
    twice = flags.FLAGS.stored == "add"
    return functools.reduce(
        functools.partial(ContentStore.merge, twice=twice),
        map(ContentStore.load, tables),
    )


def _encoded(output: pathlib.Path, beam_flags: list[str]) -> ContentStore:
    from mlvae_tf.store.table import ContentStore

    given, task, stored = flags.FLAGS, _task(), None
    if given.update:
        stored = ContentStore.load(pathlib.Path(given.update).expanduser())
    model = task.load_model()
    parts = [part.data for part in _open(task)]
    if stored is None:
        return _encode(task, model, parts, output, beam_flags)
    task, parts = _check_stored(stored, task, model, parts)
    if not parts:
        return stored
    new = _encode(task, model, parts, output, beam_flags)
    if given.remove:
        return stored.remove(new)
    # What the table has already was looked at before; copies within the
    # dataset count.
    return stored.merge(new, twice=True)


def _check_stored(
    stored: ContentStore, task: Task, model: MLVAE, parts: list[GroupedData]
) -> tuple[Task, list[GroupedData]]:
    """What of a task is to be encoded, as a table has some of it already."""
    from mlvae_tf.store import encoding, multiset

    given = flags.FLAGS
    encoding.check_adds_up(stored, model, parts)
    if given.remove:
        encoding.check_held(stored, parts, model.codec.likelihood)
    elif given.stored == "skip":
        path = pathlib.Path(given.update).expanduser().absolute()
        new = encoding.without_held(stored, parts)
        sizes = [sum(map(len, some)) for some in (new, parts)]
        print(f"{sizes[0]} of {sizes[1]} observations are new", flush=True)
        return dataclasses.replace(task, without=path), new
    elif given.stored != "add":
        multiset.check_new(parts, stored)
    return task, parts


def _encode(
    task: Task,
    model: MLVAE,
    parts: list[GroupedData],
    output: pathlib.Path,
    beam_flags: list[str],
) -> ContentStore:
    if not flags.FLAGS.beam:
        from mlvae_tf.store import encoding

        return encoding.encode(model, parts, task.batch_size)
    require("beam", "apache_beam")
    from mlvae_tf.store import beam

    export, size = task.export(), task.batch_size
    return beam.encode(task, model, export, size, output, beam_flags)


def run() -> None:
    """The command."""
    _define_flags()
    command_line.run(main, __doc__, passes_on=True)


flags.disclaim_key_flags()  # They are the script's.
