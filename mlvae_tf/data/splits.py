"""What is trained on, and what is kept out.

Before a training that is a choice (`holdout.py`). Once a model is trained, held
out is what it was not trained on, whatever has come, gone or changed places
since.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from mlvae_tf.data import holdout, identity
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError


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
    def held_out(self) -> GroupedData | None:
        """The test split, or what was held out of the training groups."""
        return self.test if self.test is not None else self.validation

    @functools.cached_property
    def evaluation(self) -> GroupedData | None:
        """What the results on the training groups are measured on.

        That is `held_out` without what is in `train` as well, unless all is: a
        copy says no more than that it was seen before.
        """
        held_out, copies = self.held_out, self.copies
        if held_out is None or copies.all() or not copies.any():
            return held_out
        return held_out[~copies]

    @functools.cached_property
    def copies(self) -> np.ndarray:
        """Which of `held_out` are in `train` as well, bool `[M]`.

        Values and groups are alike, on all levels.
        """
        if self.held_out is None:
            return np.zeros(0, bool)
        return np.isin(_marks(self.held_out), _marks(self.train))

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


def _marks(data: GroupedData) -> np.ndarray:
    """Keys that tell the other levels' groups apart as well, uint64 `[N]`."""
    marks = data.keys
    for of_level in data.others.values():
        keys = identity.of_groups(of_level.groups)
        marks = marks + keys[of_level.group_index]
    return marks


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
    seen = holdout.choose_groups(train, fractions[0], seed)
    if holdout_cells:
        fractions = fractions[0], holdout_observations or 0.0
    elif holdout_observations is None:
        fractions = holdout.default_fractions(source, seen, holdout_groups)
        seen = holdout.choose_groups(train, fractions[0], seed)
    held_out = holdout.choose_observations(train, fractions[1] or 0.0, seed)
    if holdout_cells:
        held_out |= holdout.choose_cells(train, holdout_cells, seed)
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
    if copies := np.count_nonzero(splits.copies):
        text += f"; {copies} held out are copies of ones to learn from"
    return text
