"""Combinations of groups never seen, drawn beside the truth, as PNG."""

from __future__ import annotations

import numpy as np

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import combinations
from mlvae_tf.evaluation.combinations import SHOTS, Shown
from mlvae_tf.evaluation.grid import grid
from mlvae_tf.evaluation.learned import Learned
from mlvae_tf.evaluation.names import Labels

GROUPS = 5  # That are shown.
COLUMNS = 12


def grids(
    learned: Learned,
    splits: Splits,
    seed: int,
    labels: Labels | None = None,
) -> dict[str, bytes]:
    """Combinations never seen beside the truth, of two levels.

    Args:
        learned: What training tells of combinations.
        splits: The data.
        seed: Of what is chosen.
        labels: What is drawn for the groups' names; by default those of these
            pictures.

    Returns:
        PNG pictures by name: `completed`, of groups that were trained on, and
        `unseen_completed`, of groups that were not, where there are such.
    """
    if len(learned.groups) != 2:
        return {}
    labels = Labels() if labels is None else labels
    found = {}
    if splits.evaluation is not None and splits.train.level in learned.tables:
        rows = combinations.never_seen(learned, splits.train, splits.evaluation)
        if len(rows):
            found["completed"] = _completed(
                learned, splits.evaluation[rows], splits.train.level, labels
            )
    if splits.unseen is not None and splits.unseen.level in learned.groups:
        for count in reversed(SHOTS):
            chosen = combinations.show(learned, splits.unseen, count, seed)
            if chosen is not None:
                found["unseen_completed"] = _completed_unseen(
                    learned, splits.unseen, chosen, labels
                )
                break
    return found


def _completed(
    learned: Learned, data: GroupedData, level: str, labels: Labels
) -> bytes:
    """Two rows for each of some groups: completed, and the truth."""
    table, group_indices = learned.tables[level], learned.numbers(data)
    (other,) = (name for name in learned.groups if name != level)
    rows, columns = group_indices[level], group_indices[other]
    asked = np.full(table.seen.shape, -1)
    asked[rows, columns] = np.arange(len(data))
    of_rows = (asked >= 0).sum(axis=1)
    rows = np.sort(np.argsort(-of_rows, kind="stable")[:GROUPS])
    of_columns = (asked[rows] >= 0).sum(axis=0)
    columns = np.sort(np.argsort(-of_columns, kind="stable")[:COLUMNS])
    asked = asked[np.ix_(rows, columns)]
    seen = table.seen[np.ix_(rows, columns)]
    places = np.meshgrid(rows, columns, indexing="ij")
    drawn = learned.decoded(
        {level: places[0].ravel(), other: places[1].ravel()}
    ).reshape(*asked.shape, -1)
    means = table.values[np.ix_(rows, columns)]
    held_out = data.values().reshape(len(data), -1)[asked]
    truth = np.where((asked >= 0)[..., np.newaxis], held_out, np.nan)
    truth = np.where(seen[..., np.newaxis], means, truth)
    completed = np.where(seen[..., np.newaxis], means, drawn)
    names = [labels[str(name)] for name in learned.groups[level][rows]]
    return _paired(
        learned,
        (completed, truth),
        (seen, (asked >= 0) | seen),
        ([labels[str(name)] for name in learned.groups[other][columns]], names),
        (other, level),
    )


def _completed_unseen(
    learned: Learned, data: GroupedData, chosen: Shown, labels: Labels
) -> bytes:
    """Two rows for each of some groups: shown and completed, and the truth."""
    count = chosen.shown.shape[1]
    units = range(min(GROUPS, len(chosen.shown)))
    decoded = combinations.complete(learned, data, chosen)["decoded"]
    shape = len(units), COLUMNS, decoded.shape[1]
    completed, truth = np.full(shape, np.nan), np.full(shape, np.nan)
    framed = np.zeros((2, *shape[:2]), bool)
    for unit in units:
        rows = np.flatnonzero(chosen.unit == unit)[: COLUMNS - count]
        columns = slice(count, count + len(rows))
        shown = data.values(chosen.shown[unit])
        completed[unit, :count] = shown.reshape(count, -1)
        completed[unit, columns] = decoded[rows]
        asked = data.values(chosen.asked[rows])
        truth[unit, columns] = asked.reshape(len(rows), -1)
        framed[0, unit, :count] = framed[1, unit, columns] = True
    groups = data.group_ids[chosen.shown[list(units), 0]]
    return _paired(
        learned,
        (completed, truth),
        (framed[0], framed[1]),
        (
            [*["shown"] * count, *["made"] * (COLUMNS - count)],
            [labels[str(name)] for name in groups],
        ),
        ("observations of the group", data.level),
    )


def _paired(
    learned: Learned,
    cells: tuple[np.ndarray, np.ndarray],
    framed: tuple[np.ndarray, np.ndarray],
    names: tuple[list[str], list[str]],
    labels: tuple[str, str],
) -> bytes:
    """A grid whose every second row is the truth of the one above it."""
    rows, columns = framed[0].shape
    shape = 2 * rows, columns, *learned.model.observation_shape
    beside = [text for name in names[1] for text in (name, "truth")]
    return grid(
        np.stack(cells, axis=1).reshape(shape),
        None,
        None,
        (names[0], beside),
        labels,
        framed=np.stack(framed, axis=1).reshape(shape[:2]),
    )
