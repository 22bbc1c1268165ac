"""Combinations of groups never seen: this letter in that font.

Where a combination was held out, what is drawn for it can be measured against
the truth: the latents of its groups, which other observations showed, decoded
with no style. Beside it stand what needs no model: the means of the groups, an
additive model of them, and what the groups nearest to one look like there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlvae_tf import noise
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation.bootstrap import Estimate, estimate_statistic
from mlvae_tf.evaluation.guesses import Table, columns_of, divide, members_of
from mlvae_tf.evaluation.learned import Learned
from mlvae_tf.model import MLVAE

MAX_TRAIN_OBSERVATIONS = 20_000
MAX_ASKED = 2_000  # Combinations.
MAX_GROUPS = 100  # Never seen.
SHOTS = 1, 3, 5


def errors(
    guesses: dict[str, np.ndarray], truth: np.ndarray, units: np.ndarray
) -> dict[str, Estimate]:
    """The root of the mean squared error of each guess.

    Args:
        guesses: `[M, D]` each.
        truth: `[M, D]`, NaN where not known.
        units: `[M]`, what intervals resample: numbers of combinations, or of
            groups, from 0.
    """
    known = np.isfinite(truth)
    count = np.bincount(units, known.sum(axis=1))
    found = {}
    for name, guess in guesses.items():
        squares = np.where(known, guess - truth, 0).astype(np.float64) ** 2
        total = np.bincount(units, squares.sum(axis=1))

        def statistic(times: np.ndarray, total: np.ndarray = total) -> float:
            return float(np.sqrt(times @ total / (times @ count)))

        found[name] = estimate_statistic(statistic, len(count))
    return found


def measure(
    model: MLVAE, splits: Splits, seed: int
) -> tuple[dict[str, Any], Learned | None]:
    """How near what is drawn of combinations never seen comes to the truth.

    Args:
        model: A model of two levels or more that are drawn.
        splits: The data that it was trained with.
        seed: Of what is chosen.

    Returns:
        `(errors, learned)`. Errors are `held_out`, of combinations of training
        groups, and `unseen`, by the number of observations shown, of groups of
        the first level never seen: root mean squared ones by guess, in the
        units of the values. What is not there is left out.
    """
    if len(model.codec.drawn) < 2:
        return {}, None
    learned = Learned.of(
        model, splits.train.sample(MAX_TRAIN_OBSERVATIONS, seed)
    )
    found: dict[str, Any] = {}
    if splits.evaluation is not None:
        of_cells = held_out(learned, splits.train, splits.evaluation, seed)
        if of_cells:
            found["held_out"] = of_cells
    if splits.unseen is not None and splits.unseen.level in learned.groups:
        of_groups = {
            str(count): of_count
            for count in SHOTS
            if (of_count := unseen(learned, splits.unseen, count, seed))
        }
        if of_groups:
            found["unseen"] = of_groups
    return found, learned


def never_seen(
    learned: Learned, train: GroupedData, data: GroupedData
) -> np.ndarray:
    """The rows of combinations that training did not have, of its groups."""
    sizes = learned.sizes
    group_indices, of_train = learned.numbers(data), learned.numbers(train)
    good = np.all([rows >= 0 for rows in group_indices.values()], axis=0)
    in_train = np.all([rows >= 0 for rows in of_train.values()], axis=0)
    cells = [
        columns_of({k: np.maximum(v, 0) for k, v in one.items()}, sizes)
        for one in (group_indices, of_train)
    ]
    return np.flatnonzero(good & ~np.isin(cells[0], cells[1][in_train]))


def held_out(
    learned: Learned, train: GroupedData, data: GroupedData, seed: int
) -> dict[str, Estimate]:
    """Errors on combinations that training did not have.

    Args:
        learned: What training tells.
        train: All of it.
        data: Held-out observations.
        seed: Of which are asked, at most 2,000.
    """
    rows = never_seen(learned, train, data)
    if len(rows) < 2:
        return {}
    asked = data[rows].sample(MAX_ASKED, seed)
    group_indices, sizes = learned.numbers(asked), learned.sizes
    truth = asked.values().reshape(len(asked), -1)
    additive = learned.additive(group_indices)
    guesses = {"decoded": learned.decoded(group_indices), "additive": additive}
    for name, means in learned.means.items():
        guesses[f"mean of the {name}"] = means[group_indices[name]]
    for name, table in learned.tables.items():
        distances = table.distances(table)
        np.fill_diagonal(distances, np.inf)
        others = {k: v for k, v in sizes.items() if k != name}
        guesses[f"nearest by {name}"] = table.nearest(
            distances[group_indices[name]],
            columns_of(group_indices, others),
            additive,
        )
    _, units = np.unique(columns_of(group_indices, sizes), return_inverse=True)
    return errors(guesses, truth, units)


class Shown(NamedTuple):
    """Groups never seen, of which some observations are shown.

    Attributes:
        shown: `[U, k]`, rows that are shown of each.
        asked: `[M]`, other rows.
        unit: `[M]`, the number of the group of each of these.
    """

    shown: np.ndarray
    asked: np.ndarray
    unit: np.ndarray


def show(
    learned: Learned, data: GroupedData, count: int, seed: int
) -> Shown | None:
    """Choose what is shown of groups never seen, and what is asked of them.

    All of it with groups of the other levels that training had; asked are
    other combinations than those shown. None if that is nowhere so.
    """
    group_indices = learned.numbers(
        data, [n for n in learned.groups if n != data.level]
    )
    good = np.all([rows >= 0 for rows in group_indices.values()], axis=0)
    sizes = {name: learned.sizes[name] for name in group_indices}
    columns = columns_of(
        {k: np.maximum(v, 0) for k, v in group_indices.items()}, sizes
    )
    generator = noise.generator(seed, noise.Stream.EPISODES, count)
    groups = generator.permutation(len(data.groups))[:MAX_GROUPS]
    shown: list[np.ndarray] = []
    asked: list[np.ndarray] = []
    units: list[np.ndarray] = []
    for group in groups.tolist():
        rows = np.flatnonzero(good & (data.group_index == group))
        rows = generator.permutation(rows)
        rest = rows[count:]
        rest = rest[~np.isin(columns[rest], columns[rows[:count]])]
        if len(rest):
            units.append(np.full(len(rest), len(shown)))
            shown.append(rows[:count])
            asked.append(rest)
    if len(shown) < 2:
        return None
    return Shown(np.array(shown), np.concatenate(asked), np.concatenate(units))


def complete(
    learned: Learned, data: GroupedData, chosen: Shown
) -> dict[str, np.ndarray]:
    """Guesses at what is asked of groups never seen, `[M, D]` each.

    Args:
        learned: What training tells.
        data: Observations of these groups.
        chosen: What of them is shown and asked.
    """
    first, count = data.level, chosen.shown.shape[1]
    names = [name for name in learned.groups if name != first]
    sizes = {name: learned.sizes[name] for name in names}
    shown, asked = data[chosen.shown.ravel()], data[chosen.asked]
    of_shown = learned.numbers(shown, names)
    of_asked = learned.numbers(asked, names)
    unit = np.repeat(np.arange(len(chosen.shown)), count)
    values = shown.values()
    _, content = learned.model.infer_content(
        values, {**shown.group_indices, first: unit}
    )[first]
    flat = values.reshape(len(values), -1)
    contents = {n: learned.contents[n][rows] for n, rows in of_asked.items()}
    contents[first] = content.loc.numpy()[chosen.unit]
    rest = np.nan_to_num(flat - learned.additive.sum(of_shown))
    added = divide(members_of(unit, len(chosen.shown)) @ rest, np.array(count))
    additive = learned.additive(of_asked, added[chosen.unit])
    guesses = {"decoded": learned.decode(contents), "additive": additive}
    for name in names:
        guesses[f"mean of the {name}"] = learned.means[name][of_asked[name]]
    if first in learned.tables:
        table = learned.tables[first]
        shape = len(chosen.shown), table.seen.shape[1]
        of_groups = Table.of(flat, unit, columns_of(of_shown, sizes), shape)
        guesses[f"nearest by {first}"] = table.nearest(
            of_groups.distances(table)[chosen.unit],
            columns_of(of_asked, sizes),
            additive,
        )
    return guesses


def unseen(
    learned: Learned, data: GroupedData, count: int, seed: int
) -> dict[str, Estimate]:
    """Errors on groups never seen, of which so many observations are shown."""
    chosen = show(learned, data, count, seed)
    if chosen is None:
        return {}
    truth = data[chosen.asked].values().reshape(len(chosen.asked), -1)
    return errors(complete(learned, data, chosen), truth, chosen.unit)
