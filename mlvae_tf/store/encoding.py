"""From observations to a content store: encode, add up, forget.

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
from mlvae_tf.evidence import Evidence
from mlvae_tf.fingerprint import fingerprint
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.model import MLVAE
from mlvae_tf.store import multiset
from mlvae_tf.store.table import ContentStore, check_one_level, check_rule


class ReadBatch(NamedTuple):
    """Some observations, and which groups they are from.

    Attributes:
        observations: `[n, ...]`, uint8 or float32.
        groups: The distinct groups `[g]`, ids or row numbers.
        segment_ids: int32 `[n]`, where in `groups` each has its own; negative
            for none.
        keys: uint64 `[n]`: which observation is which.
    """

    observations: np.ndarray
    groups: np.ndarray
    segment_ids: np.ndarray
    keys: np.ndarray

    def counts(self) -> np.ndarray:
        """How many of the observations each of the groups has, `[g]`."""
        ids = self.segment_ids[self.segment_ids >= 0]
        return np.bincount(ids, minlength=len(self.groups))

    def keys_by_group(self) -> np.ndarray:
        """Their keys, uint64 `[counts().sum()]`, group after group."""
        return by_group(self.keys, self.segment_ids)


def by_group(keys: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """Keys `[N]` group after group, without those of a negative segment id."""
    order = np.argsort(segment_ids, kind="stable")
    none = np.count_nonzero(segment_ids < 0)
    return keys[order[none:]]


Proposal = tuple[tf.Tensor, tf.Tensor]
Step = Callable[[ReadBatch], Evidence]


def propose(model: MLVAE, observations: tf.Tensor) -> Proposal:
    """The `loc` and `scale` that observations propose for their content."""
    observations = tf.cast(observations, model.variable_dtype)
    content = model.codec.propose(observations).latents[model.levels[0].name]
    return content.loc, content.scale


def compile_step(
    propose: Callable[[tf.Tensor], Proposal],
    batch_size: int,
    likelihood: Likelihood,
) -> Step:
    """The work of a batch, compiled: its observations to its groups' evidence.

    XLA wants one shape: as many rows of groups as observations, and a smaller
    batch padded. What the encoder computes besides the content it leaves out.

    Args:
        propose: From observations, float32 `[n, ...]`, to the `(loc, scale)`
            that each proposes for its group's content, `[n, content_dim]`.
        batch_size: The size of the largest batch.
        likelihood: What makes values of 8-bit observations.

    Returns:
        From a `ReadBatch` to `Evidence`, float64 `[g, content_dim]`.
    """

    @tf.function(jit_compile=True)
    def evidence_of(
        observations: tf.Tensor, segment_ids: tf.Tensor
    ) -> Evidence:
        proposal = propose(likelihood.values(observations))
        loc, deviation = (tf.cast(part, tf.float64) for part in proposal)
        return evidence.accumulate(
            evidence.from_normal(loc, deviation), segment_ids, batch_size
        )

    def step(batch: ReadBatch) -> Evidence:
        observations, segment_ids = batch.observations, batch.segment_ids
        lacking = batch_size - len(observations)
        if lacking:
            widths = [(0, lacking)] + [(0, 0)] * (observations.ndim - 1)
            observations = np.pad(observations, widths)
            segment_ids = np.pad(segment_ids, (0, lacking), constant_values=-1)
        total = evidence_of(observations, segment_ids)
        return Evidence(*(part.numpy()[: len(batch.groups)] for part in total))

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
    groups, segment_ids = np.unique(
        part.group_index[start:stop], return_inverse=True
    )
    known = likelihood.known(observations)
    if known is not None:
        segment_ids = np.where(known, segment_ids, -1)
    segment_ids = segment_ids.astype(np.int32)
    return ReadBatch(observations, groups, segment_ids, part.keys[start:stop])


def ranges(num_observations: int, size: int) -> Iterator[tuple[int, int]]:
    """Where batches begin and end."""
    for start in range(0, num_observations, size):
        yield start, min(start + size, num_observations)


def encode(
    model: MLVAE, parts: list[GroupedData], batch_size: int = 1024
) -> ContentStore:
    """The content store of observations, which stream through the encoder.

    Memory does not grow with the number of observations, but for the key and
    the row number of the group of each.

    Args:
        model: The model.
        parts: Observations and their groups; a group may be in several. Equal
            observations all count.
        batch_size: Observations to encode at once.

    Returns:
        The store of all groups.

    Raises:
        InputError: If the observations do not fit the model, or if its rule
            does not add evidence up.
    """
    check_one_level(model)
    check_rule(model.levels[0].accumulation)
    for part in parts:
        checks.check_shapes(part.observations, model.observation_shape)
    step = compile_step(
        functools.partial(propose, model), batch_size, model.codec.likelihood
    )
    total = sum(map(len, parts))
    with progress.bar(total, "encoding", "obs") as bar:
        stores = [
            encode_part(model, part, step, batch_size, bar) for part in parts
        ]
    return functools.reduce(
        functools.partial(ContentStore.merge, twice=True), stores
    )


def encode_part(
    model: MLVAE,
    part: GroupedData,
    step: Step,
    batch_size: int,
    bar: tqdm.tqdm,
) -> ContentStore:
    """The content store of one part, with a step that `compile_step` gave."""
    groups = part.groups
    counts = np.zeros(len(groups), np.int64)
    shape = len(groups), model.content_dim
    total = Evidence(np.zeros(shape), np.zeros(shape))
    heard = []
    for batch in _ahead(_read(part, batch_size, model.codec.likelihood)):
        rows = batch.groups
        before = Evidence(*(column[rows] for column in total))
        for column, values in zip(total, evidence.add(before, step(batch))):
            column[rows] = values
        counts[rows] += batch.counts()
        heard.append(batch.segment_ids >= 0)
        bar.update(len(batch.observations))
    group_index = np.where(np.concatenate(heard), part.group_index, -1)
    keys = by_group(part.keys, group_index)
    rule = model.levels[0].accumulation
    return ContentStore.of(
        groups, counts, total, keys, rule, fingerprint(model)
    )


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


def check_adds_up(
    stored: ContentStore, model: MLVAE, parts: list[GroupedData]
) -> None:
    """Raise `InputError` if a store is of another model or kind of ids."""
    stored.check_model(model.levels[0].accumulation, fingerprint(model))
    for part in parts:
        stored.check_ids(part.groups)


def check_held(
    stored: ContentStore, parts: list[GroupedData], likelihood: Likelihood
) -> None:
    """Raise `InputError` unless a store has all these observations.

    It has none of those of which no value is known.
    """
    for part, held in zip(parts, stored.held(parts)):
        for batch in _read(part[~held], 1024, likelihood):
            if batch.counts().any():
                multiset.check_held(parts, stored)


def without_held(
    stored: ContentStore, parts: list[GroupedData]
) -> list[GroupedData]:
    """The parts without what a store has already, as far as any is left."""
    masks = stored.held(parts)
    left = [part[~held] for part, held in zip(parts, masks)]
    return [part for part in left if len(part)]
