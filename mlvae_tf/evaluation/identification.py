"""How to tell whose an observation is, and from which score on."""

from __future__ import annotations

import dataclasses

import numpy as np

from mlvae_tf import noise
from mlvae_tf.comparison import Comparison, pairs
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import comparing
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.model import MLVAE

MAX_GROUPS = 250
LEARNED = 3000  # Observations that the comparison is learned from, at most,
ASKED = 1000  # those whose groups are then told,
SHOWN = 10  # and those of each group that they are compared with.


@dataclasses.dataclass(frozen=True, eq=False)
class Identification:
    """How to tell which of some groups an observation is of, if of any.

    Attributes:
        comparison: What compares it with the groups.
        threshold: The score below which it is of none of them.
        rejected: The fraction of observations below it, of those of a group
            that was there.
        accepted: The fraction not below it, of the same ones with their group
            taken out.
        observations: How many these were.
        groups: How many groups they were compared with.
    """

    comparison: Comparison
    threshold: float
    rejected: float
    accepted: float
    observations: int
    groups: int


def learn(
    model: MLVAE,
    train: GroupedData,
    held_out: GroupedData | None = None,
    mirror: bool = False,
    seed: int = 0,
) -> Identification:
    """Learn it from training groups: at most a few thousand observations.

    Contents are compared in the way that tells training groups apart best. The
    threshold is where as large a fraction of observations is refused although
    their group is there as is taken for another's where it is not. None is
    compared by discriminants of its own group.

    Args:
        model: A trained model.
        train: What it learned from.
        held_out: Other observations of the same groups; without any, some of
            `train` are left out of what is known of their groups.
        mirror: Whether it learned from every group mirrored, too.
        seed: Seed of the choices.

    Raises:
        InputError: If there are not two groups to tell apart, of which one has
            an observation to spare.
    """
    generator = noise.generator(seed, noise.Stream.IDENTIFICATION)
    gallery = _some(train, train.groups, LEARNED, generator)
    fitted = gallery.with_mirrored_groups() if mirror else gallery
    learned = Posteriors.of(model, fitted)
    shown = dataclasses.replace(
        learned[np.arange(len(gallery))], group_ids=gallery.group_ids
    )
    shown, asked = _trial(model, gallery, shown, held_out, generator)
    halves = generator.permutation(len(gallery.groups)) % 2
    # A mirrored group goes with its original.
    which = halves[fitted.group_index % len(gallery.groups)]
    comparison, *by_half = comparing.learn(learned, which, seed)
    genuine, impostor = np.concatenate(
        [
            _scores(by, shown, asked, gallery.groups[halves == half])
            for half, by in enumerate(by_half)
        ],
        axis=1,
    )
    groups = len(np.unique(shown.group_ids))
    if groups < 2 or not genuine.size:
        raise InputError(
            "expected two groups or more, of which one has an observation to "
            f"spare: got {groups} groups and {genuine.size} such observations."
        )
    found = equal_error(genuine, impostor)
    return Identification(comparison, *found, genuine.size, groups)


def _some(
    data: GroupedData,
    groups: np.ndarray,
    count: int,
    generator: np.random.Generator,
) -> GroupedData:
    """Observations of some of these groups, as many of each where there are."""
    kept = np.isin(data.groups, groups)
    kept[generator.permutation(np.flatnonzero(kept))[MAX_GROUPS:]] = False
    most = count // max(1, int(np.count_nonzero(kept)))
    rows = np.flatnonzero(kept[data.group_index])
    places = _places(data.group_index[rows], generator)
    return data[rows[places < most]]


def _places(
    group_index: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The place of each observation in its group, in random order, `[N]`."""
    order = generator.permutation(len(group_index))
    order = order[np.argsort(group_index[order], kind="stable")]
    ordered = group_index[order]
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return places


def _trial(
    model: MLVAE,
    gallery: GroupedData,
    learned: Posteriors,
    held_out: GroupedData | None,
    generator: np.random.Generator,
) -> tuple[Posteriors, Posteriors]:
    """What is shown of each group, and the observations whose group is asked.

    Args:
        model: The model.
        gallery: Training observations.
        learned: Their posteriors.
        held_out: Other observations, if there are any.
        generator: Makes the choices.
    """
    sizes = np.bincount(gallery.group_index)
    places = _places(gallery.group_index, generator)
    if held_out is not None:
        held_out = _some(held_out, gallery.groups, ASKED, generator)
    if held_out is not None and len(held_out):
        spare = np.zeros(len(gallery), np.int64)
        asked = Posteriors.of(model, held_out)
    else:
        most = max(1, ASKED // len(sizes))
        of_group = np.where(sizes > 1, np.clip(sizes // 4, 1, most), 0)
        spare = of_group[gallery.group_index]
        asked = learned[np.flatnonzero(places < spare)]
    is_shown = (places >= spare) & (places < spare + SHOWN)
    return _telling(learned[np.flatnonzero(is_shown)]), _telling(asked)


def _telling(posteriors: Posteriors) -> Posteriors:
    """Those of observations of which a value is known."""
    scale = posteriors.content.scale.numpy()
    return posteriors[np.flatnonzero(np.isfinite(scale).all(axis=1))]


def _scores(
    by: Comparison, shown: Posteriors, asked: Posteriors, groups: np.ndarray
) -> np.ndarray:
    """How like its own group each observation is, and the most like another.

    Args:
        by: What compares them.
        shown: What is known of all groups.
        asked: Observations.
        groups: The ids of those of whose observations this is asked.

    Returns:
        `[2, n]`.
    """
    shown_groups, sets = np.unique(shown.group_ids, return_inverse=True)
    rows = np.flatnonzero(
        np.isin(asked.group_ids, np.intersect1d(shown_groups, groups))
    )
    if not len(rows):
        return np.empty((2, 0))
    total = shown.sums(np.arange(len(sets)), sets)
    scores = pairs(
        by.of(asked.sums(rows, np.arange(len(rows)))),
        by.of(total, np.bincount(sets)),
    )
    own = (
        np.arange(len(rows)),
        np.searchsorted(shown_groups, asked.group_ids[rows]),
    )
    genuine = scores[own]
    scores[own] = -np.inf
    return np.stack([genuine, scores.max(axis=1)])


def equal_error(
    genuine: np.ndarray, impostor: np.ndarray
) -> tuple[float, float, float]:
    """The threshold at which both errors are as frequent, as near as may be.

    Args:
        genuine: Scores that should not be below it, `[M]`.
        impostor: Scores that should be, `[N]`.

    Returns:
        `(threshold, rejected, accepted)`: the fraction of genuine scores below
        it, and of the others not below it. It is in the middle between two
        scores; of several as good, the one where both errors are least.
    """
    values = np.unique(np.concatenate([genuine, impostor]))
    middles = (values[1:] + values[:-1]) / 2
    thresholds = np.concatenate([values[:1], middles])
    rejected = np.searchsorted(np.sort(genuine), thresholds) / len(genuine)
    below = np.searchsorted(np.sort(impostor), thresholds) / len(impostor)
    accepted = 1 - below
    best = np.lexsort((rejected + accepted, np.abs(rejected - accepted)))[0]
    return (
        float(thresholds[best]),
        float(rejected[best]),
        float(accepted[best]),
    )
