"""What a dataset SPEC loads to, and what all sources share."""

from __future__ import annotations

import dataclasses
import math

from mlvae_tf import checks
from mlvae_tf.data.grouped import Convert, GroupedData
from mlvae_tf.data.observations import Stored, in_memory, nbytes
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset as its publisher splits it.

    Attributes:
        train: Observations to learn from.
        test: The dataset's own test split, if it has one.
    """

    train: GroupedData
    test: GroupedData | None = None

    def converted(self, convert: Convert) -> Source:
        """The same with other values for what is stored."""
        train = dataclasses.replace(self.train, convert=convert)
        if self.test is None:
            return Source(train)
        return Source(train, dataclasses.replace(self.test, convert=convert))

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


def check(data: GroupedData, spec: str, likelihood: Likelihood) -> None:
    """Raise `InputError` unless it has observations that can be learned from.

    What stays on the disk is checked batch by batch, as it is read.
    """
    observations = data.observations
    if not math.prod(observations.shape):
        raise InputError(f"{spec} has no observations.")
    if isinstance(observations, Stored):
        return
    try:
        checks.check_stored(observations, likelihood)
    except InputError as error:
        raise InputError(f"{spec}: {error}") from None
