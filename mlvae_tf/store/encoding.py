"""From observations to content stores: encode, add up, forget.

Observations stream through the encoder batch by batch, in whatever order
they lie, and leave the evidence of their groups. Of each its key is kept, by
which it would be noticed again, and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from mlvae_tf import checks, evidence, progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import Grouping
from mlvae_tf.evidence import Evidence
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.model import MLVAE
from mlvae_tf.store.ids import as_stored
from mlvae_tf.store.layout import Layout
from mlvae_tf.store.tables import LevelStores, Parts


class ReadBatch(NamedTuple):
    """Some observations, and which groups they are from.

    Attributes:
        observations: `[n, ...]`, uint8 or float32.
        levels: By level, the distinct groups, ids or row numbers, and where
            among them each has its own; negative for none.
        keys: uint64 `[n]`: which observation is which.
    """

    observations: np.ndarray
    levels: dict[str, Grouping]
    keys: np.ndarray

    @property
    def heard(self) -> np.ndarray:
        """bool `[n]`: which ones tell of groups."""
        first, *_ = self.levels.values()
        return first.group_index >= 0


Proposals = dict[str, tuple[tf.Tensor, tf.Tensor]]  # By level, loc and scale.
Step = Callable[[ReadBatch], dict[str, Evidence]]


def told(level: Grouping, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many observations tell of each group, and which.

    Args:
        level: The groups; those with a negative `group_index` tell of none.
        keys: uint64 `[n]`: which observation is which.

    Returns:
        `(counts, keys)`, of shape `[g]` and `[counts.sum()]`, group after
        group.
    """
    group_index = level.group_index
    counts = np.bincount(
        group_index[group_index >= 0], minlength=len(level.groups)
    )
    order = np.argsort(group_index, kind="stable")
    return counts, keys[order[len(group_index) - counts.sum() :]]


def propose(model: MLVAE, observations: tf.Tensor) -> Proposals:
    """What observations propose for the latents of each level."""
    observations = tf.cast(observations, model.variable_dtype)
    latents = model.codec.propose(observations).latents
    return {
        name: (normal.loc, normal.scale) for name, normal in latents.items()
    }


def compile_step(
    propose: Callable[[tf.Tensor], Proposals],
    batch_size: int,
    likelihood: Likelihood,
) -> Step:
    """The work of a batch, compiled: its observations to its groups' evidence.

    XLA wants one shape: as many rows of groups as observations, and a smaller
    batch padded. What the encoder computes besides it leaves out.

    Args:
        propose: From observations, float32 `[n, ...]`, to the `(loc, scale)`
            that each proposes for its groups' latents, by level `[n, dim]`.
        batch_size: The size of the largest batch.
        likelihood: What makes values of 8-bit observations.

    Returns:
        From a `ReadBatch` to `Evidence` by level, float64 `[g, dim]`.
    """

    @tf.function(autograph=False, jit_compile=True)
    def evidence_of(
        observations: tf.Tensor, segment_ids: dict[str, tf.Tensor]
    ) -> dict[str, Evidence]:
        found = {}
        proposals = propose(likelihood.values(observations))
        for name, proposal in proposals.items():
            loc, deviation = (tf.cast(part, tf.float64) for part in proposal)
            found[name] = evidence.accumulate(
                evidence.from_normal(loc, deviation),
                segment_ids[name],
                batch_size,
            )
        return found

    def step(batch: ReadBatch) -> dict[str, Evidence]:
        observations, lacking = batch.observations, batch_size - len(batch.keys)
        segment_ids = {
            k: level.group_index for k, level in batch.levels.items()
        }
        if lacking:
            widths = [(0, lacking)] + [(0, 0)] * (observations.ndim - 1)
            observations = np.pad(observations, widths)
            segment_ids = {
                name: np.pad(ids, (0, lacking), constant_values=-1)
                for name, ids in segment_ids.items()
            }
        found = {}
        for name, total in evidence_of(observations, segment_ids).items():
            size = len(batch.levels[name].groups)
            found[name] = Evidence(*(part.numpy()[:size] for part in total))
        return found

    return step


def read_batch(
    part: GroupedData, start: int, stop: int, likelihood: Likelihood
) -> ReadBatch:
    """Read rows `start` to `stop`; the groups are row numbers.

    An observation of which no value is known belongs to none.

    Raises:
        InputError: If the likelihood does not take the values.
    """
    observations = np.asarray(part.observations[start:stop])
    checks.check_stored(observations, likelihood)
    known = likelihood.known(observations)
    levels = {}
    for name, level in part.levels.items():
        some = Grouping.of(level.group_index[start:stop])
        group_index = (
            some.group_index
            if known is None
            else np.where(known, some.group_index, -1)
        )
        levels[name] = Grouping(some.groups, group_index.astype(np.int32))
    return ReadBatch(observations, levels, part.keys[start:stop])


def ranges(num_observations: int, size: int) -> Iterator[tuple[int, int]]:
    """Where batches begin and end."""
    for start in range(0, num_observations, size):
        yield start, min(start + size, num_observations)


def encode(
    model: MLVAE, parts: list[GroupedData], batch_size: int = 1024
) -> LevelStores:
    """The stores of observations, which stream through the encoder.

    Memory does not grow with the number of observations, but for the key and
    the row numbers of the groups of each.

    Args:
        model: The model.
        parts: Observations and their groups; a group may be in several. Equal
            observations all count.
        batch_size: Observations to encode at once.

    Returns:
        The stores of all groups, by level.

    Raises:
        InputError: If the observations do not fit the model, or if a level's
            rule does not add evidence up.
    """
    layout = Layout.of(model)
    for part in parts:
        checks.check_shapes(part.observations, model.observation_shape)
    step = compile_step(
        functools.partial(propose, model), batch_size, model.codec.likelihood
    )
    total = sum(map(len, parts))
    with progress.bar(total, "encoding", "obs") as bar:
        stores = [
            encode_part(model, part, layout, step, batch_size, bar)
            for part in parts
        ]
    return functools.reduce(
        functools.partial(LevelStores.merge, twice=True), stores
    )


def encode_part(
    model: MLVAE,
    part: GroupedData,
    layout: Layout,
    step: Step,
    batch_size: int,
    bar: tqdm.tqdm,
) -> LevelStores:
    """The stores of one part, with a step that `compile_step` gave."""
    part = as_stored(part, layout.parents)
    totals = {
        level.name: Evidence(
            *np.zeros((2, len(part.levels[level.name].groups), level.dim))
        )
        for level in model.codec.drawn
    }
    heard = []
    for batch in _ahead(_read(part, batch_size, model.codec.likelihood)):
        for name, new in step(batch).items():
            rows = batch.levels[name].groups
            before = Evidence(*(column[rows] for column in totals[name]))
            for column, values in zip(totals[name], evidence.add(before, new)):
                column[rows] = values
        heard.append(batch.heard)
        bar.update(len(batch.observations))
    all_heard = np.concatenate(heard)
    parts = {}
    for name, total in totals.items():
        level = part.levels[name]
        group_index = np.where(all_heard, level.group_index, -1)
        counts, keys = told(Grouping(level.groups, group_index), part.keys)
        parts[name] = Parts(level.groups, counts, total, keys)
    return LevelStores.of(layout, parts)


def _read(
    part: GroupedData, size: int, likelihood: Likelihood
) -> Iterator[ReadBatch]:
    for start, stop in ranges(len(part), size):
        yield read_batch(part, start, stop, likelihood)


def _ahead(batches: Iterator[ReadBatch]) -> Iterator[ReadBatch]:
    """The same, the next one read while one is computed with."""
    with futures.ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = reader.submit(next, batches, None)
            yield batch


def check_held(
    stored: LevelStores, parts: list[GroupedData], likelihood: Likelihood
) -> None:
    """Raise `InputError` unless a store has all these observations.

    It has none of those of which no value is known.
    """
    for part, held in zip(parts, stored.held(parts)):
        for batch in _read(part[~held], 1024, likelihood):
            if batch.heard.any():
                stored.check_held(parts)


def without_held(
    stored: LevelStores, parts: list[GroupedData]
) -> list[GroupedData]:
    """The parts without what a store has already, as far as any is left."""
    masks = stored.held(parts)
    left = [part[~held] for part, held in zip(parts, masks)]
    return [part for part in left if len(part)]
