"""What a dataset SPEC loads to, and what all sources share."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from mlvae_tf.data.grouping import GroupedData
from mlvae_tf.data.observations import Stored, in_memory, nbytes
from mlvae_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset as its publisher splits it.

    Attributes:
        train: Observations to learn from.
        test: The dataset's own test split, if it has one.
    """

    train: GroupedData
    test: GroupedData | None = None

    def in_memory(self, limit: float) -> Source:
        """All observations in memory, if they have at most `limit` bytes.

        Those that stay on the disk are looked over (`Stored.check`).
        """
        parts = [self.train] + ([self.test] if self.test is not None else [])
        size = sum(nbytes(part.observations) for part in parts)
        if size <= limit:
            parts = [
                dataclasses.replace(
                    part, observations=in_memory(part.observations)
                )
                for part in parts
            ]
        for part in parts:
            if isinstance(part.observations, Stored):
                part.observations.check()
        return Source(*parts)


def check(data: GroupedData, spec: str) -> GroupedData:
    """Raise `InputError` unless it has observations, finite if in memory."""
    observations = data.observations
    if not math.prod(observations.shape):
        raise InputError(f"{spec} has no observations.")
    if observations.dtype == np.uint8 or isinstance(observations, Stored):
        return data
    finite = np.isfinite(observations).reshape(len(observations), -1).all(1)
    if not finite.all():
        raise InputError(
            f"{spec}: observations must be finite numbers: "
            f"{np.count_nonzero(~finite)} of {len(finite)} hold NaN or "
            f"infinite values, the first at row {np.argmin(finite)}. Remove or "
            "repair them."
        )
    return data
