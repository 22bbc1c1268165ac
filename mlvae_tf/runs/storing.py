"""What `encode.py` makes of stored tables and new observations."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import require
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import several
from mlvae_tf.runs.encoding import Task
from mlvae_tf.store import encoding
from mlvae_tf.store.layout import Layout
from mlvae_tf.store.tables import LevelStores

# Encodes a task: its model, and the parts of its dataset.
Encoder = Callable[[Task, MLVAE, list[GroupedData]], LevelStores]


def stream(task: Task, model: MLVAE, parts: list[GroupedData]) -> LevelStores:
    """Encode in this process."""
    return encoding.encode(model, parts, task.batch_size)


def by_beam(output: pathlib.Path, arguments: list[str]) -> Encoder:
    """Encode in a pipeline of Apache Beam.

    Args:
        output: A path that its workers reach.
        arguments: Flags of Beam and its runner.
    """
    require("beam", "apache_beam")
    from mlvae_tf.store import beam

    def encode(
        task: Task, model: MLVAE, parts: list[GroupedData]
    ) -> LevelStores:
        del parts  # Each worker opens them.
        export, size = task.export(), task.batch_size
        return beam.encode(task, model, export, size, output, arguments)

    return encode


def merged(paths: list[str], twice: bool) -> LevelStores:
    """Tables, or folders of them, taken together.

    Args:
        paths: At least one.
        twice: Count observations twice that are in several.

    Raises:
        InputError: Of `LevelStores.load` and `merge`.
    """
    return functools.reduce(
        functools.partial(LevelStores.merge, twice=twice), map(_load, paths)
    )


def encoded(
    task: Task,
    encode: Encoder = stream,
    update: str | None = None,
    remove: bool = False,
    stored: str = "refuse",
) -> LevelStores:
    """The stores of a task's observations, or others with these.

    Args:
        task: What to encode.
        encode: By what.
        update: The stored table, or folder of tables, that observations are
            added to.
        remove: Take them out of it instead.
        stored: What becomes of those that it has: `refuse`, `skip` or `add`.

    Raises:
        InputError: If they do not fit the model or the stored ones.
    """
    before = _load(update) if update else None
    model = task.load_model()
    parts = _open(task, model)
    if before is None or update is None:
        return encode(task, model, parts)
    before.check_adds_up(Layout.of(model), parts)
    if remove:
        encoding.check_held(before, parts, model.codec.likelihood)
        return before.remove(encode(task, model, parts))
    if stored == "skip":
        new = encoding.without_held(before, parts)
        sizes = [sum(map(len, some)) for some in (new, parts)]
        print(f"{sizes[0]} of {sizes[1]} observations are new", flush=True)
        if not new:
            return before
        without = pathlib.Path(update).expanduser().absolute()
        task, parts = dataclasses.replace(task, without=without), new
    elif stored != "add":
        before.check_new(parts)
    # What the store has was looked at; copies within the dataset count.
    return before.merge(encode(task, model, parts), twice=True)


def _load(path: str) -> LevelStores:
    return LevelStores.load(pathlib.Path(path).expanduser())


def _open(task: Task, model: MLVAE) -> list[GroupedData]:
    """The dataset; prints what a user should know of it."""
    opened = task.open()
    for note in opened.notes:
        print(note, flush=True)
    parts = [part.data for part in opened.parts]
    for part in parts:
        several.check_levels(model, part)
    return parts
