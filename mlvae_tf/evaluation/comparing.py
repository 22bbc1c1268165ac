"""What compares contents best, as training groups tell."""

from __future__ import annotations

import numpy as np

from mlvae_tf.comparison import Comparison, Discriminants
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.representations import content_directions, group_means
from mlvae_tf.evaluation.shots import best_comparison

MIN_BETWEEN = 1e-3  # Variance between groups, of that within them.


def learn(
    learned: Posteriors, halves: np.ndarray, seed: int
) -> list[Comparison]:
    """What compares contents best: for use, and for each half of the groups.

    Args:
        learned: Posteriors of training observations.
        halves: `[N]`, of which half, 0 or 1, each one's group is.
        seed: Seed of the choice.

    Returns:
        Three: what is learned from all of them, what serves to ask for groups
        of the one half, and what for groups of the other. Discriminants are
        then those of the other half's groups.
    """
    best = best_comparison(learned, seed).removeprefix("content_")
    if best == "discriminants":
        parts = [learned[np.flatnonzero(halves == half)] for half in (1, 0)]
        every = [learned, *parts]
        directions = [
            found
            for part in every
            if (found := content_directions(part)) is not None
        ]
        if len(directions) == len(every):
            spread = _spread(directions[1:], parts[::-1])
            fitted = [
                _by_discriminants(*fit, spread)
                for fit in zip(every, directions)
            ]
            comparisons = [one for one in fitted if one is not None]
            if len(comparisons) == len(every):
                return comparisons
        best = "posteriors"
    return [Comparison(best, learned.accumulation.rule)] * 3


def _spread(directions: list[np.ndarray], groups: list[Posteriors]) -> float:
    """The variance within groups that discriminants were not fitted to.

    Args:
        directions: Discriminants `[content_dim, dim]`, which have unit variance
            within the groups that they were fitted to.
        groups: For each, posteriors of other groups' observations.
    """
    squares = numbers = 0.0
    for found, posteriors in zip(directions, groups):
        points, group_index = _projected(posteriors, found)
        deviations = points - group_means(points, group_index)[group_index]
        squares += np.sum(deviations**2)
        numbers += (len(points) - group_index.max() - 1) * points.shape[1]
    return squares / numbers


def _projected(
    posteriors: Posteriors, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What discriminants tell of observations, and their groups, numbered."""
    _, group_index = np.unique(posteriors.group_ids, return_inverse=True)
    return posteriors.content.loc.numpy() @ directions, group_index


def _by_discriminants(
    learned: Posteriors, directions: np.ndarray, spread: float
) -> Comparison | None:
    """Compare by discriminants, unless groups differ in none.

    The groups' centres are taken to be normal, of the variance that those of
    the learned groups have beyond what the spread makes of it.

    Args:
        learned: Posteriors of the observations that they were fitted to.
        directions: The discriminants, `[content_dim, dim]`.
        spread: The variance within other groups.

    References:
        Ioffe 2006, Probabilistic Linear Discriminant Analysis (ECCV).
    """
    points, group_index = _projected(learned, directions)
    centers, sizes = group_means(points, group_index), np.bincount(group_index)
    between = centers.var(axis=0, ddof=1) - spread * np.mean(1 / sizes)
    told = between > MIN_BETWEEN * spread
    if not told.any():
        return None
    unit = np.sqrt(between[told])
    discriminants = Discriminants(
        directions[:, told] / unit,
        centers.mean(axis=0)[told] / unit,
        spread / between[told],
    )
    rule = learned.accumulation.rule
    return Comparison("discriminants", rule, discriminants)
