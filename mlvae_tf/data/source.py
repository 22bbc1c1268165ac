"""What a dataset SPEC loads to, and what all sources share."""

from __future__ import annotations

import dataclasses

import numpy as np

from mlvae_tf.data.grouping import GroupedData
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


def check(data: GroupedData, spec: str) -> GroupedData:
    """Raise `InputError` unless it is finite observations."""
    observations = data.observations
    if not observations.size:
        raise InputError(f"{spec} has no observations.")
    if observations.dtype == np.uint8:
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
