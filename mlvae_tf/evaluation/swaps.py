"""Whom swapped observations resemble, of groups never seen in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy.spatial.distance import cdist

from mlvae_tf import noise, progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation.bootstrap import Estimate, estimate_of_units
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evaluation.shots import SHOTS, draw
from mlvae_tf.model import MLVAE

Observe = Callable[[np.ndarray], np.ndarray]


class _Seen:
    """Observations as points, and where their groups lie.

    Args:
        points: `[N, dim]`.
        group_index: The group of each, numbered from 0, `[N]`.
    """

    def __init__(self, points: np.ndarray, group_index: np.ndarray) -> None:
        self.points, self._group_index = points, group_index
        self._sizes = np.bincount(group_index)[:, np.newaxis]
        columns = [np.bincount(group_index, column) for column in points.T]
        self._totals = np.stack(columns, axis=1)

    def centers(self, rows: np.ndarray) -> np.ndarray:
        """The mean of each one's group, the rows themselves left out.

        Args:
            rows: `[groups, n]`, some rows of each group.
        """
        group = self._group_index[rows[:, -1]]
        others = self._totals[group] - self.points[rows].sum(axis=1)
        return others / (self._sizes[group] - rows.shape[1])


def measure(
    model: MLVAE,
    posteriors: Posteriors,
    unseen: GroupedData,
    observe: Observe,
    shots: tuple[int, ...] = SHOTS,
    episodes: int = 200,
    seed: int = 0,
) -> dict[str, dict[str, Estimate]]:
    """Whom swapped observations resemble.

    In an episode every group (at most `MAX_GROUPS`, drawn at random) gives its
    content, from `shots` observations, and the style of another one goes to
    another group. What is decoded is given to the group whose other
    observations it is nearest to in the mean, as `observe` sees them.

    Args:
        model: The model.
        posteriors: Of the unseen observations.
        unseen: The unseen observations.
        observe: From observations `[N, ...]` to points `[N, dim]`.
        shots: How many observations a content is of.
        episodes: How many episodes.
        seed: Seed of the episodes.

    Returns:
        By the number of shots, estimates over groups: `judge_accuracy`, of
        real observations, `content_group` and `style_group`, the fractions of
        swaps given to the group of the content and of the style. Numbers that
        fewer than two groups have observations for are left out.
    """
    seen = _Seen(observe(unseen.values()), unseen.group_index)
    found: dict[str, dict[str, Estimate]] = {
        name: {} for name in ("judge_accuracy", "content_group", "style_group")
    }
    for count in shots:
        drawn = draw(unseen.group_ids, count, 1, episodes, seed)
        if drawn is None:
            continue
        generator = noise.generator(seed, noise.Stream.RECEIVERS, count)
        own, ways = np.arange(drawn.shape[1]), drawn.shape[1]
        scores = []
        for rows in progress.track(drawn, len(drawn), "swapping"):
            donors = (own + generator.integers(1, ways)) % ways
            centers = seen.centers(rows)
            swapped = observe(_swap(model, posteriors, rows, donors))
            real = cdist(seen.points[rows[:, -1]], centers).argmin(axis=1)
            named = cdist(swapped, centers).argmin(axis=1)
            scores.append([real == own, named == own, named == donors])
        asked = unseen.group_index[drawn[..., -1]]
        for name, right in zip(found, np.swapaxes(scores, 0, 1), strict=True):
            found[name][str(count)] = estimate_of_units(right, asked)
    return found


def _swap(
    model: MLVAE, posteriors: Posteriors, rows: np.ndarray, donors: np.ndarray
) -> np.ndarray:
    """Decode each group's content with the style of another one's last row.

    Args:
        model: The model.
        posteriors: Of all observations.
        rows: `[groups, shots + 1]`; a content is of all but the last.
        donors: Whose style each one is given, `[groups]`.
    """
    ways, count = len(rows), rows.shape[1] - 1
    contents = posteriors.accumulate(
        rows[:, :count].ravel(), np.repeat(np.arange(ways), count)
    )
    styles = posteriors.style.loc.numpy()[rows[donors, count]]
    return model.decode(contents.loc, tf.constant(styles)).mean().numpy()
