"""What `identify.py` answers: which groups observations are of."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import NamedTuple, TextIO

import numpy as np

from mlvae_tf import checks, progress
from mlvae_tf.comparison import Comparison
from mlvae_tf.data.observations import Stored
from mlvae_tf.files import shown
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import pictures
from mlvae_tf.runs.encoding import Task
from mlvae_tf.store.embeddings import Part
from mlvae_tf.store.table import ContentStore

UNKNOWN = "unknown"
COLUMNS = "group", "score", "second", "second_score", "third", "third_score"
_AT_ONCE = 1024  # Observations.


# What tells which observation each is, and the observations `[n, ...]`.
Lot = tuple[list[tuple[str, ...]], np.ndarray]


class Asked(NamedTuple):
    """Observations whose groups are asked for.

    Attributes:
        columns: What is written to tell which each is.
        lots: Some of them at a time.
        total: How many they are.
    """

    columns: tuple[str, ...]
    lots: Iterator[Lot]
    total: int


def of_pictures(model: MLVAE, places: list[str]) -> Asked:
    """Pictures in files and folders.

    Raises:
        InputError: If there are none, some are damaged, or the model is of no
            pictures.
    """
    paths = pictures.find(places)
    observations = pictures.read(paths, model.observation_shape)
    names: list[tuple[str, ...]] = [(shown(path),) for path in paths]
    starts = range(0, len(names), _AT_ONCE)
    some = (slice(start, start + _AT_ONCE) for start in starts)
    lots = ((names[rows], observations[rows]) for rows in some)
    return Asked(("file",), lots, len(names))


def of_dataset(model: MLVAE, task: Task) -> Asked:
    """All observations of a dataset, by their row in it, or by their file.

    Raises:
        InputError: If they do not fit the model.
    """
    parts = (task.from_disk() if task.has_paths else task).open().parts
    for part in parts:
        checks.check_shapes(part.data.observations, model.observation_shape)
    columns = ["file" if task.has_paths else "row"]
    if any(part.split for part in parts):
        columns.append("split")
    lots = (lot for part in parts for lot in _lots(part, task.has_paths))
    total = sum(len(part.data) for part in parts)
    return Asked(tuple(columns), lots, total)


def _lots(part: Part, has_paths: bool) -> Iterator[Lot]:
    observations, stop = part.data.observations, 0
    split = (part.split,) if part.split else ()
    for values, _ in part.data.chunks(_AT_ONCE):
        start, stop = stop, stop + len(values)
        names = map(str, part.rows[start:stop].tolist())
        if has_paths and isinstance(observations, Stored):
            names = map(observations.name, range(start, stop))
        yield [(name, *split) for name in names], values


def write(
    stream: TextIO,
    store: ContentStore,
    model: MLVAE,
    comparison: Comparison,
    threshold: float,
    asked: Asked,
    level: str | None = None,
) -> tuple[int, int]:
    """Write a CSV with a row per observation.

    After what tells which it is come the three groups that it is most like,
    each with its score; `unknown` is in the place of the first where its score
    is below the threshold. Groups that the store lacks are left empty.

    Returns:
        How many rows there are, and how many of them say unknown.
    """
    writer = csv.writer(stream, lineterminator="\n")
    counts = np.zeros(2, int)
    for names, observations in _watched(asked, stream):
        answers = store.identify(
            model, observations, comparison, threshold, len(COLUMNS) // 2, level
        )
        if not counts[0]:
            writer.writerow([*asked.columns, *COLUMNS])
        for name, *answer in zip(names, *answers):
            writer.writerow([*name, *_cells(*answer)])
        counts += len(names), np.count_nonzero(~answers.accepted)
    return int(counts[0]), int(counts[1])


def _watched(asked: Asked, stream: TextIO) -> Iterator[Lot]:
    """The lots, with a bar where the answers do not show on the terminal."""
    if stream.isatty():
        yield from asked.lots
        return
    with progress.bar(asked.total, "identifying", "obs") as bar:
        for lot in asked.lots:
            yield lot
            bar.update(len(lot[1]))


def _cells(groups: np.ndarray, scores: np.ndarray, accepted: bool) -> list[str]:
    names = [str(group) for group in groups.tolist()]
    if not accepted:
        names[0] = UNKNOWN
    cells = [
        cell
        for name, score in zip(names, scores.tolist())
        for cell in (name, f"{score:.6g}")
    ]
    return cells + [""] * (len(COLUMNS) - len(cells))
