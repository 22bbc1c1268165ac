"""Intervals for what is measured on a sample."""

from __future__ import annotations

import numpy as np

RESAMPLES = 1000


def interval(
    scores: np.ndarray, size: int | None = None, seed: int = 0
) -> list[float]:
    """A 95% percentile bootstrap interval of the mean.

    Args:
        scores: `[M]`, one a unit that was measured.
        size: Units in a resample, where several passes over the same `size`
            units are in `scores`. Defaults to `M`.
        seed: Seed of the draws.

    Returns:
        `[low, high]`.

    References:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    generator = np.random.default_rng(seed)
    size = size or len(scores)
    means = [
        generator.choice(scores, size).mean(dtype=np.float64)
        for _ in range(RESAMPLES)
    ]
    return np.quantile(means, [0.025, 0.975]).tolist()
