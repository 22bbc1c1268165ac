"""Does the scale of a content posterior predict its error?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlvae_tf.evaluation.posteriors import Counts, Posteriors
from mlvae_tf.evaluation.probes import name


class Calibration(NamedTuple):
    """Predicted and actual error of contents, root mean squares by dimension.

    Attributes:
        predicted: What the scales say, `[content_dim]`.
        actual: What is seen, `[content_dim]`.
    """

    predicted: np.ndarray
    actual: np.ndarray

    @property
    def ratio(self) -> float:
        """Actual over predicted: 1 is calibrated, above 1 over-confident."""
        squares = np.square(self.actual / self.predicted)
        return float(np.sqrt(squares.mean()))


def measure(
    posteriors: Posteriors, counts: Counts, seed: int
) -> dict[str, Calibration]:
    """Compare the contents of two disjoint sets of k of the same group.

    Were both posteriors right about one common content, their means would
    differ with the variance `scale_1^2 + scale_2^2`.

    Args:
        posteriors: Held-out observations.
        counts: The k; None is left out, since it leaves no second set.
        seed: Seed of the divisions.

    Returns:
        `Calibration` by k, for every k that a group has twice.
    """
    generator = np.random.default_rng([seed, 5])
    result = {}
    for count in counts:
        if count is None:
            continue
        rows = posteriors.deal(2 * count, generator).rows
        if len(rows) == 0:
            continue
        halves = rows.reshape(-1, 2, count)
        sets = np.repeat(np.arange(len(halves)), count)
        first, second = (
            posteriors.accumulate(halves[:, i].ravel(), sets) for i in (0, 1)
        )
        variance = first.variance().numpy() + second.variance().numpy()
        difference = first.loc.numpy() - second.loc.numpy()
        result[name(count)] = Calibration(
            np.sqrt(variance.mean(axis=0)),
            np.sqrt(np.square(difference).mean(axis=0)),
        )
    return result
