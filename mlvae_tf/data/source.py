"""What a dataset SPEC loads to, and what all sources share."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from mlvae_tf import checks
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.observations import Stored, in_memory, nbytes
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset as its publisher splits it.

    Attributes:
        train: Observations to learn from.
        test: The dataset's own test split, if it has one.
        notes: What a user should know of how it was read.
        skipped: What was left out as it could not be read, and why.
    """

    train: GroupedData
    test: GroupedData | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        parts: dict[str, GroupedData],
        notes: tuple[str, ...] = (),
        skipped: tuple[str, ...] = (),
    ) -> Source:
        """A dataset with the splits `train` and, if there is one, `test`."""
        return cls(parts["train"], parts.get("test"), notes, skipped)

    @property
    def parts(self) -> dict[str, GroupedData]:
        """Its splits by name."""
        parts = {"train": self.train}
        return parts if self.test is None else {**parts, "test": self.test}

    def of_likelihood(self, likelihood: Likelihood) -> Source:
        """The same, read as the values that a likelihood takes."""
        parts = {
            name: part.of_likelihood(likelihood)
            for name, part in self.parts.items()
        }
        return Source.of(parts, self.notes, self.skipped)

    def without_damaged(self) -> Source:
        """The same without what cannot be read, all of which is looked at.

        Raises:
            InputError: If nothing is left to learn from.
        """
        parts: dict[str, GroupedData] = {}
        skipped: list[str] = []
        for name, part in self.parts.items():
            damaged: dict[int, str] = {}
            if isinstance(part.observations, Stored):
                damaged = part.observations.unreadable()
            skipped += damaged.values()
            kept = np.ones(len(part), bool)
            kept[list(damaged)] = False
            if kept.any():
                parts[name] = part[kept] if damaged else part
        if "train" not in parts:
            raise InputError(
                f"none of the {len(self.train)} observations can be read, the "
                f"first: {skipped[0]}."
            )
        notes = self.notes
        if skipped:
            skipped_files = (
                f"{len(skipped)} files skipped (first: {skipped[0]})"
            )
            notes = *notes, skipped_files
        return Source.of(parts, notes, tuple(skipped))

    def in_memory(self, limit: float) -> Source:
        """All observations in memory, if they have at most `limit` bytes.

        Those that stay on the disk are looked over (`Stored.check`).
        """
        parts = self.parts
        size = sum(nbytes(part.observations) for part in parts.values())
        if size <= limit:
            parts = {
                name: dataclasses.replace(
                    part, observations=in_memory(part.observations)
                )
                for name, part in parts.items()
            }
        for part in parts.values():
            if isinstance(part.observations, Stored):
                part.observations.check()
        return Source.of(parts, self.notes, self.skipped)


def check(data: GroupedData, spec: str, likelihood: Likelihood) -> None:
    """Raise `InputError` unless it has observations that can be learned from.

    What stays on the disk is checked batch by batch, as it is read.
    """
    observations = data.observations
    if not math.prod(observations.shape):
        raise InputError(f"{spec} has no observations.")
    shape = tuple(observations.shape[1:])
    if checks.has_channels_first(shape):
        raise InputError(
            f"{spec}: observations must be [N, height, width, channels]: got "
            f"{list(observations.shape)}, which seem to be images with their "
            f"channels first. {checks.CHANNELS_LAST}."
        )
    if isinstance(observations, Stored):
        return
    try:
        checks.check_stored(observations, likelihood)
    except InputError as error:
        raise InputError(f"{spec}: {error}") from None
