"""From observations to the content stores of several levels, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mlvae_tf import checks, evidence, progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.observations import Observations
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.fingerprint import fingerprint
from mlvae_tf.model import MLVAE
from mlvae_tf.store import encoding
from mlvae_tf.store.table import ContentStore, as_ids, check_rule
from mlvae_tf.store.tables import Inner, LevelStores


def joined(
    group_ids: dict[str, np.ndarray], parents: dict[str, str]
) -> dict[str, np.ndarray]:
    """Ids of which those of inner levels are OUTER/INNER.

    Args:
        group_ids: By level, `[N]`; where all of an inner level are so already,
            they stay.
        parents: By inner level, the one that it is in.

    Raises:
        InputError: If an inner id has a / of its own.
    """

    def of(name: str) -> np.ndarray:
        if name not in parents:
            return as_ids(group_ids[name])
        inner = group_ids[name].astype(str)
        outer = np.char.add(of(parents[name]).astype(str), "/")
        if not np.char.startswith(inner, outer).all():
            inner = np.char.add(outer, inner)
        bad = np.char.count(inner, "/") != np.char.count(outer, "/")
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"an id of {name}, which is within {parents[name]}, must have "
                f"no /: got {group_ids[name][row]!r} at row {row}. Name its "
                "groups anew."
            )
        return inner

    return {name: of(name) for name in group_ids}


def encode(
    model: MLVAE,
    observations: Observations,
    group_ids: Any,
    keys: np.ndarray | None = None,
    batch_size: int = 1024,
) -> LevelStores:
    """The stores of all levels, from one pass through the encoder.

    Args:
        model: The model.
        observations: `[N, ...]`, values or uint8 images, in memory or on a
            disk. Equal ones all count.
        group_ids: By level `[N]`, integers or strings, in any order.
        keys: uint64 `[N]`, which observation is which; by default those of
            their content and their groups of the first level.
        batch_size: Observations to encode at once.

    Raises:
        InputError: If the observations or ids do not fit the model, or if a
            level's rule does not add evidence up.
    """
    codec = model.codec
    names = tuple(level.name for level in model.levels)
    ids = {
        name: checks.as_group_ids(of_level)
        for name, of_level in checks.by_level(group_ids, names).items()
    }
    checks.check_shapes(observations, model.observation_shape, ids)
    for level in codec.drawn:
        check_rule(level.accumulation)
    ids = joined(ids, codec.parents)
    data = {
        name: np.unique(of_level, return_inverse=True)
        for name, of_level in ids.items()
    }
    totals, heard = _add_up(model, observations, data, batch_size)
    if keys is None:
        keys = GroupedData.of(observations, ids[names[0]]).keys
    tables = {}
    for level in codec.drawn:
        groups, group_index = data[level.name]
        group_index = np.where(heard, group_index, -1)
        tables[level.name] = ContentStore.of(
            groups,
            np.bincount(group_index[heard], minlength=len(groups)),
            totals[level.name],
            encoding.by_group(keys, group_index),
            level.accumulation,
            fingerprint(model),
        )
    return LevelStores(tables, _inner(model))


def _inner(model: MLVAE) -> dict[str, Inner]:
    codec = model.codec
    return {
        level.name: Inner(
            level.parent,
            codec.spreads[level.name].precision.numpy().astype(np.float64),
        )
        for level in reversed(codec.outer_first)
        if level.parent
    }


def _add_up(
    model: MLVAE,
    observations: Observations,
    data: dict[str, tuple[np.ndarray, np.ndarray]],
    size: int,
) -> tuple[dict[str, Evidence], np.ndarray]:
    """By level, the evidence of its groups `[G, dim]`, and who told any.

    Args:
        model: The model.
        observations: `[N, ...]`.
        data: By level, its groups `[G]` and the row in these of each one's.
        size: Observations to encode at once.
    """
    likelihood = model.codec.likelihood
    totals = {
        level.name: Evidence(
            *(np.zeros((len(data[level.name][0]), level.dim)) for _ in "ab")
        )
        for level in model.codec.drawn
    }
    heard, propose = np.ones(len(observations), bool), _step(model, size)
    with progress.bar(len(observations), "encoding", "obs") as bar:
        for start, stop in encoding.ranges(len(observations), size):
            some = np.asarray(observations[start:stop])
            checks.check_stored(some, likelihood)
            known = likelihood.known(some)
            if known is not None:
                heard[start:stop] = known
            told = heard[start:stop]
            for name, parts in propose(some).items():
                group_index = data[name][1][start:stop][told]
                for total, part in zip(totals[name], parts):
                    np.add.at(total, group_index, part[told])
            bar.update(len(some))
    return totals, heard


def _step(
    model: MLVAE, size: int
) -> Callable[[np.ndarray], dict[str, Evidence]]:
    """The encoder, compiled: by level, the evidence of each, float64."""
    codec = model.codec

    @tf.function(jit_compile=True)
    def propose(observations: tf.Tensor) -> dict[str, Evidence]:
        values = tf.cast(codec.likelihood.values(observations), codec.dtype)
        found = {}
        for name, proposed in codec.propose(values).latents.items():
            loc, scale = (
                tf.cast(part, tf.float64)
                for part in (proposed.loc, proposed.scale)
            )
            found[name] = evidence.from_normal(loc, scale)
        return found

    def step(observations: np.ndarray) -> dict[str, Evidence]:
        count = len(observations)
        widths = [(0, size - count)] + [(0, 0)] * (observations.ndim - 1)
        found = propose(np.pad(observations, widths))
        return {
            name: Evidence(*(part.numpy()[:count] for part in parts))
            for name, parts in found.items()
        }

    return step
