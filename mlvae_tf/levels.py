"""Levels: who shares a latent.

A level says which observations have a latent in common: those of one digit,
one person, one font. Its latent has a prior N(0, I), a posterior that
accumulates what the group's observations say, and one KL per group. The style
is the level whose groups are the single observations.
"""

from __future__ import annotations

import dataclasses
import functools
import keyword
import re
from dataclasses import fields
from typing import Any

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule as Schedule
from tensorflow_probability import distributions as tfd

from mlvae_tf import evidence, noise
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence, Moments
from mlvae_tf.layers import EvidenceAccumulation, NormalHead

LAST_STEP = 2**31 - 1  # When every schedule has ended.
_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")  # What a SavedModel can take.


@dataclasses.dataclass(frozen=True)
class Level:
    """A latent and who shares it.

    Args:
        name: What the level is called, such as `"content"`.
        dim: Dimensions of the latent.
        accumulation: How a group's observations make its posterior; see
            `mlvae_tf.layers.EvidenceAccumulation`.
        evidence_dropout: Probability of leaving an observation's evidence out
            of its group's posterior in a training step; one at least stays.
        contrast: Weight in the loss, for every observation, of the nats that
            it lacks to tell its group from the others of the batch, and of
            those that it tells of other levels' groups
            (`mlvae_tf.contrast`); 0 for none.
        kl_weight: Factor of the level's KL in the loss, a number or a schedule
            of the step.
        parent: The level of the same dimension that this one's groups are in,
            such as that of patients for visits; their latents are around the
            parent's (`mlvae_tf.hierarchy`). An id then counts within its
            parent's group.
    """

    name: str
    dim: int
    accumulation: str = "product"
    evidence_dropout: float = 0.0
    contrast: float = 0.0
    kl_weight: float | Schedule = 1.0
    parent: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or keyword.iskeyword(self.name):
            raise InputError(
                "a level's name must be a word of the letters a to z, digits "
                "and _, such as content, and none that means something in "
                f"Python: got {self.name!r}."
            )
        if self.dim < (0 if self.name == "style" else 1):
            raise InputError(
                f"{self.name}_dim must be at least 1: got {self.dim}."
            )
        if not 0 <= self.evidence_dropout <= 1:
            raise InputError(
                f"evidence_dropout must be in [0, 1]: got "
                f"{self.evidence_dropout}."
            )
        if not 0 <= self.contrast < float("inf"):
            raise InputError(
                f"{self.name}_contrast must be a number from 0: got "
                f"{self.contrast}."
            )
        if self.contrast and self.accumulation == "average":
            raise InputError(
                f"{self.name}_contrast takes evidence that adds up: got "
                'accumulation="average". Use "product".'
            )
        if self.parent is not None and self.accumulation != "product":
            raise InputError(
                f"{self.name}: a level with a parent accumulates products, "
                f"whose prior is the parent's: got {self.accumulation!r}."
            )
        self.sums  # noqa: B018 - An unknown rule is refused here.

    def get_config(self) -> dict[str, Any]:
        """The arguments, as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        serialize = keras.saving.serialize_keras_object
        return {**values, "kl_weight": serialize(self.kl_weight)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Level:
        """The inverse of `get_config`."""
        deserialize = keras.saving.deserialize_keras_object
        return cls(**{**config, "kl_weight": deserialize(config["kl_weight"])})

    @functools.cached_property
    def sums(self) -> EvidenceAccumulation:
        """What adds up the group's observations."""
        return EvidenceAccumulation(self.accumulation)

    def head(self, **kwargs: Any) -> NormalHead:
        """A new head that reads the level's latent from features."""
        return NormalHead(self.dim, name=f"{self.name}_head", **kwargs)

    def heard(self, segment_ids: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The segment ids of a training step, -1 for evidence to leave out."""
        if not self.evidence_dropout:
            return segment_ids
        return evidence.drop(
            segment_ids,
            self.evidence_dropout,
            tf.shape(segment_ids)[0],
            noise.fold_in(seed, noise.Draw.EVIDENCE_DROPOUT),
        )

    def posterior(self, total: Evidence | Moments, dtype: Any) -> tfd.Normal:
        """The posterior of every group given the sum over its observations.

        A group of which nothing is known has the prior, and so has a row that
        pads the groups: its KL and gradient are zero.

        Args:
            total: A sum of `self.sums.parts`, `[G, dim]`.
            dtype: Of the posterior.

        Returns:
            Batch shape `[G, dim]`.
        """
        return or_prior(self.sums.posterior(total, dtype))

    def weight_at(self, step: int | tf.Tensor, dtype: Any) -> float | tf.Tensor:
        """The weight of the KL at a step; at `LAST_STEP` the final one."""
        if callable(self.kl_weight):
            return tf.cast(self.kl_weight(step), dtype)
        return self.kl_weight


def drawn(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Those whose latents the decoder reads: no other's parents."""
    parents = {level.parent for level in levels}
    return tuple(level for level in levels if level.name not in parents)


def as_levels(
    levels: dict[str, int] | list[Level], *settings: Any
) -> tuple[Level, ...]:
    """Levels from what users write, checked as a whole.

    Args:
        levels: Dimensions by name, or levels. A parent that is not among them
            is made, before its child.
        *settings: Of every level that is given by its dimension, those of a
            `Level` that come next.

    Raises:
        InputError: If there is none, or names and parents do not fit.
    """
    if isinstance(levels, dict):
        levels = [Level(name, dim, *settings) for name, dim in levels.items()]
    given = list(levels)
    if not given or not all(isinstance(level, Level) for level in given):
        raise InputError(
            'levels must be {"name": dim} or a list of mlvae_tf.Level, one at '
            f"least: got {levels!r}."
        )
    names = {level.name for level in given}
    found: list[Level] = []
    for level in given:
        if level.parent and level.parent not in names:
            found.append(Level(level.parent, level.dim))
            names.add(level.parent)
        found.append(level)
    _check_names([level.name for level in found])
    _check_parents(found)
    return tuple(found)


def _check_names(names: list[str]) -> None:
    taken = {"style", "observation", "observations", "group", "groups", "num"}
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two levels are called {name!r}: rename one.")
        if name in taken:
            raise InputError(
                f"a level cannot be called {name!r}, which means something "
                "else: rename it."
            )


def _check_parents(levels: list[Level]) -> None:
    by_name = {level.name: level for level in levels}
    for level in levels:
        above, chain = level, [level.name]
        while above.parent:
            above = by_name[above.parent]
            if above.dim != level.dim:
                raise InputError(
                    f"{level.name} has {level.dim} dimensions and its parent "
                    f"{above.name} {above.dim}: expected the same number."
                )
            if above.name in chain:
                raise InputError(
                    f"levels are each other's parents: {', '.join(chain)}."
                )
            chain.append(above.name)


def or_prior(posterior: tfd.Normal) -> tfd.Normal:
    """The prior in the place of a posterior that knows nothing, a flat one."""
    scale = posterior.scale
    flat = tf.math.is_inf(scale)
    return tfd.Normal(posterior.loc, tf.where(flat, tf.ones_like(scale), scale))
