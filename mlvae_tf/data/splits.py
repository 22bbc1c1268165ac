"""What is trained on, and what is kept out.

What is held out is chosen by the observations' keys (`identity.py`), so that it
does not depend on what else there is. Once a model is trained, held out is what
it was not trained on, whatever has come, gone or changed places since.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mlvae_tf.data import identity
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError
from mlvae_tf.noise import Stream

DEFAULT = 0.2  # Of every group's observations, or else of the groups.


@dataclasses.dataclass(frozen=True)
class Splits:
    """A dataset divided for a run.

    Attributes:
        train: Observations to learn from.
        validation: Held-out observations of the training groups.
        test: The dataset's own test split, training groups only.
        unseen: Observations of groups that are not in training at all.
        holdout_groups: The fraction of the groups that was held out.
        holdout_observations: The fraction of their observations.
        notes: What a user should know of the data and their division.
        skipped: What was left out as it could not be read.
    """

    train: GroupedData
    validation: GroupedData | None
    test: GroupedData | None
    unseen: GroupedData | None
    holdout_groups: float = 0.0
    holdout_observations: float = 0.0
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def evaluation(self) -> GroupedData | None:
        """What the results on the training groups are measured on."""
        return self.test if self.test is not None else self.validation

    @property
    def measured(self) -> GroupedData:
        """What the ELBO is measured on: without `evaluation`, `unseen`.

        Raises:
            InputError: If nothing was held out.
        """
        found = self.unseen if self.evaluation is None else self.evaluation
        if found is None:
            raise InputError(
                "there are no held-out observations to measure on: split with "
                "holdout_observations, such as 0.2."
            )
        return found

    @property
    def monitored(self) -> GroupedData | None:
        """What a training is validated on: not the test split, if it can."""
        return self.validation if self.validation is not None else self.test


def split(
    source: Source,
    holdout_groups: float | None = None,
    holdout_observations: float | None = None,
    seed: int = 0,
    holdout_cells: float = 0.0,
) -> Splits:
    """Divide a dataset, the same way for the same seed.

    Args:
        source: The dataset.
        holdout_groups: Fraction of the groups to hold out as `unseen`. Groups
            of the test split that the training split lacks are unseen too.
        holdout_observations: Fraction of every remaining group's training
            observations to hold out as `validation`. By default 0.2 where the
            dataset has no test split of groups to train on, else 0. If neither
            is given and most groups are too small for that, 0.2 of the groups
            are held out instead.
        seed: Seed of the choices.
        holdout_cells: Fraction of the combinations of several levels' groups
            to hold out as `validation`, then by default nothing else.

    Raises:
        InputError: If a fraction is none, leaves no groups to train on, or
            holds no combination out.
    """
    train = source.train
    fractions = holdout_groups or 0.0, holdout_observations
    seen = _choose_groups(train, fractions[0], seed)
    if holdout_cells:
        fractions = fractions[0], holdout_observations or 0.0
    elif holdout_observations is None:
        fractions = _default(source, seen, holdout_groups)
        seen = _choose_groups(train, fractions[0], seed)
    held_out = _choose_observations(train, fractions[1] or 0.0, seed)
    if holdout_cells:
        held_out |= _choose_cells(train, holdout_cells, seed)
    held_out &= seen[train.group_index]
    learned = {"train": seen[train.group_index] & ~held_out}
    splits = dataclasses.replace(
        _divide(source, learned),
        holdout_groups=fractions[0],
        holdout_observations=fractions[1] or 0.0,
    )
    return _noted(splits, _describe(splits))


def split_as_trained(source: Source, trained: np.ndarray) -> Splits | None:
    """Divide a dataset by what a model was trained on.

    Args:
        source: The dataset, which may have changed since.
        trained: The keys of what the model was trained on, uint64 `[T]`.

    Returns:
        The observations that it was trained on; those of the same groups that
        it was not trained on; and other groups. A note says what is gone. None
        where the dataset has nothing that it was trained on.
    """
    learned = {
        name: np.isin(part.keys, trained) for name, part in source.parts.items()
    }
    if source.test is not None:
        # A copy of what is trained on may have been there from the start.
        learned["test"] &= ~np.isin(source.test.keys, source.train.keys)
    if not any(mask.any() for mask in learned.values()):
        return None
    splits = _divide(source, learned)
    gone = np.count_nonzero(~np.isin(trained, splits.train.keys))
    notes = [f"{gone} of the {len(trained)} observations trained on are gone"]
    return _noted(splits, *(notes if gone else []), _describe(splits))


def _divide(source: Source, learned: dict[str, np.ndarray]) -> Splits:
    """The splits where these are trained on: a mask for some of the parts."""
    parts = source.parts
    masks = {
        name: learned.get(name, np.zeros(len(part), bool))
        for name, part in parts.items()
    }
    train = [part[masks[name]] for name, part in parts.items()]
    groups = np.concatenate([part.groups for part in train if len(part)])
    seen = {
        name: np.isin(part.groups, groups)[part.group_index]
        for name, part in parts.items()
    }
    rest = {
        name: _join([part[seen[name] & ~masks[name]]])
        for name, part in parts.items()
    }
    unseen = [part[~seen[name]] for name, part in parts.items()]
    return Splits(
        GroupedData.join([part for part in train if len(part)]),
        rest["train"],
        rest.get("test"),
        _join(unseen),
        notes=source.notes,
        skipped=source.skipped,
    )


def _noted(splits: Splits, *notes: str) -> Splits:
    return dataclasses.replace(splits, notes=(*splits.notes, *notes))


def _join(parts: list[GroupedData]) -> GroupedData | None:
    parts = [part for part in parts if len(part)]
    return GroupedData.join(parts) if parts else None


def _check_fraction(flag: str, fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise InputError(
            f"--{flag} must be a fraction in [0, 1): got {fraction}."
        )


def _sizes(data: GroupedData) -> np.ndarray:
    return np.bincount(data.group_index, minlength=len(data.groups))


def _spared(sizes: np.ndarray, fraction: float) -> np.ndarray:
    """How many observations are held out of groups; one at least stays."""
    return np.minimum(np.round(fraction * sizes).astype(int), sizes - 1)


def _default(
    source: Source, seen: np.ndarray, holdout_groups: float | None
) -> tuple[float, float]:
    """The fractions of groups and of observations, where these are not given.

    Args:
        source: The dataset.
        seen: Which of its groups are trained on, `[G]`.
        holdout_groups: The fraction of groups, if that is given.
    """
    train, test = source.train, source.test
    if test is not None and np.isin(train.groups[seen], test.groups).any():
        return holdout_groups or 0.0, 0.0
    spare = np.count_nonzero(_spared(_sizes(train)[seen], DEFAULT))
    few = spare < 2 or 2 * spare < np.count_nonzero(seen)
    if few and holdout_groups is None and round(DEFAULT * len(train.groups)):
        return DEFAULT, 0.0
    return holdout_groups or 0.0, DEFAULT if spare else 0.0


def _choose_groups(data: GroupedData, fraction: float, seed: int) -> np.ndarray:
    """Mask of the groups that are trained on, `[G]`.

    Groups of several observations go first, at random, up to half of what is in
    such groups, without which nothing could be learned. Then those of one,
    which tell nothing of identification; then more of the first; and last a
    group of more than half of all observations.
    """
    _check_fraction("holdout_groups", fraction)
    groups = data.groups
    count = round(fraction * len(groups))
    if fraction and not 0 < count < len(groups):
        raise InputError(
            f"--holdout_groups={fraction} of {len(groups)} groups leaves "
            f"{count} held out and {len(groups) - count} to train on. Choose "
            "a fraction that leaves at least one of each."
        )
    sizes = _sizes(data)
    keys = identity.of_groups(groups)
    ranks = identity.ranks(keys, seed, Stream.HELD_OUT_GROUPS)
    turn = np.select([sizes < 2, 2 * sizes > len(data)], [1, 3], 0)
    several = np.flatnonzero(turn == 0)
    several = several[np.argsort(ranks[several])]
    spared = 2 * np.cumsum(sizes[several]) > sizes[sizes > 1].sum()
    turn[several[spared]] = 2
    seen = np.ones(len(groups), bool)
    seen[np.lexsort((ranks, turn))[:count]] = False
    return seen


def _choose_observations(
    data: GroupedData, fraction: float, seed: int
) -> np.ndarray:
    """Mask of every group's held-out observations, `[N]`.

    Observations with equal keys, of one group and one content, stay together:
    the last of those that would be held out stays if its like does.
    """
    _check_fraction("holdout_observations", fraction)
    ranks = identity.ranks(data.keys, seed, Stream.HELD_OUT_OBSERVATIONS)
    sizes = _sizes(data)
    firsts = np.cumsum(sizes) - sizes
    order = np.lexsort((ranks, data.group_index))
    bounds = ranks[order[firsts + _spared(sizes, fraction)]]
    return ranks < bounds[data.group_index]


def _choose_cells(data: GroupedData, fraction: float, seed: int) -> np.ndarray:
    """Mask of what is of held-out combinations of groups, `[N]`.

    Every group of every level keeps one at the least.
    """
    _check_fraction("holdout_cells", fraction)
    if not data.others:
        raise InputError(
            "--holdout_cells is for several levels: name them, such as "
            "--groups=person,light, or drop it."
        )
    ranks = np.zeros(len(data), np.uint64)
    for of_level in data.levels.values():
        keys = identity.of_groups(of_level.groups)[of_level.group_index]
        ranks = identity.ranks(ranks ^ keys, seed, Stream.HELD_OUT_CELLS)
    cells, firsts, cell_index = np.unique(
        ranks, return_index=True, return_inverse=True
    )
    stays = np.zeros(len(cells), bool)
    for of_level in data.levels.values():
        last = np.zeros(len(of_level.groups), np.int64)
        np.maximum.at(last, of_level.group_index[firsts], np.arange(len(cells)))
        stays[last] = True
    held_out = np.zeros(len(cells), bool)
    held_out[np.flatnonzero(~stays)[: round(fraction * len(cells))]] = True
    if not held_out.any():
        raise InputError(
            f"--holdout_cells={fraction} of {len(cells)} combinations of "
            f"{', '.join(data.levels)} holds none out that all its groups can "
            "spare. Pass a larger fraction, or --holdout_observations."
        )
    return held_out[cell_index]


def _describe(splits: Splits) -> str:
    """What is held out, in words."""
    held_out = splits.validation
    groups = len(splits.train.groups)
    text = f"{len(splits.train)} observations of {groups} groups to learn from"
    if splits.test is not None:
        text += f"; {len(splits.test)} in the test split"
    if held_out is not None:
        few = groups - len(held_out.groups)
        text += f"; {len(held_out)} more of them held out"
        if few:
            text += f" ({few} groups are too small to spare any)"
    if splits.unseen is not None:
        text += (
            f"; {len(splits.unseen)} of {len(splits.unseen.groups)} other "
            "groups held out"
        )
    if splits.evaluation is None and splits.unseen is None:
        text += "; nothing held out to evaluate on"
    return text
