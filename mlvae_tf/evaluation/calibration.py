"""Does the scale of a content posterior predict its error?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlvae_tf import noise
from mlvae_tf.evaluation.bootstrap import Estimate, estimate_statistic
from mlvae_tf.evaluation.posteriors import Counts, Posteriors, in_words
from mlvae_tf.noise import Stream


class Calibration(NamedTuple):
    """Predicted and actual error of contents, a row per pair of sets.

    Attributes:
        predicted: The variance that the scales give to the difference of two
            contents, `[M, content_dim]`.
        actual: The square of the difference, `[M, content_dim]`.
    """

    predicted: np.ndarray
    actual: np.ndarray

    @property
    def ratio(self) -> Estimate:
        """Actual over predicted error: above 1 is over-confident.

        The root of the mean over dimensions of the ratio of mean squares.
        """

        def statistic(counts: np.ndarray) -> float:
            squares = (counts @ self.actual) / (counts @ self.predicted)
            return float(np.sqrt(squares.mean()))

        return estimate_statistic(statistic, len(self.actual))


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
    generator = noise.generator(seed, Stream.CALIBRATION)
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
        result[in_words(count)] = Calibration(variance, np.square(difference))
    return result
