"""The content stores of several levels: a table for each, in one folder.

Observations tell of the levels that the decoder reads, so those have tables
that observations are added to and taken out of. What an outer level's groups
are told by their inner ones (`mlvae_tf.hierarchy`) is found from the inner
table's rows. It does not add up over parts of an inner group, so that it is
never kept, only written for whoever reads the files.

Groups within others have ids OUTER/INNER.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mlvae_tf import checks, evidence, files, hierarchy, progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.observations import Observations
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.fingerprint import fingerprint
from mlvae_tf.model import MLVAE
from mlvae_tf.store import encoding
from mlvae_tf.store.table import ContentStore, as_ids, check_rule

_ABOUT = "levels.json"


class Inner(NamedTuple):
    """How an inner level's groups lie around their outer ones.

    Attributes:
        parent: The outer level.
        precision: Around its latents, float64 `[dim]`.
    """

    parent: str
    precision: np.ndarray


class Posterior(NamedTuple):
    """The latents of a level's groups.

    Attributes:
        groups: Ids `[G]`, sorted.
        loc: `[G, dim]`.
        scale: `[G, dim]`.
    """

    groups: np.ndarray
    loc: np.ndarray
    scale: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class LevelStores:
    """What is known of the groups of every level, as `encode` makes it.

    Attributes:
        tables: By level that the decoder reads, the store of its groups.
        inner: By inner level, innermost first, what is around it.
    """

    tables: dict[str, ContentStore]
    inner: dict[str, Inner]

    def all_tables(self) -> dict[str, ContentStore]:
        """Those of outer levels too: what their inner groups tell them."""
        found = dict(self.tables)
        for name, (parent, precision) in self.inner.items():
            told = self._told(found[name], parent, precision)
            if parent in found:  # By another one of its levels.
                both = evidence.add(found[parent].evidence, told.evidence)
                told = dataclasses.replace(told, evidence=both)
            found[parent] = told
        return found

    def _told(
        self, table: ContentStore, parent: str, precision: np.ndarray
    ) -> ContentStore:
        """What a table's groups tell their outer ones."""
        # An outermost one's posterior has its prior for one more factor.
        rule = "product" if parent in self.inner else "product_with_prior"
        return ContentStore.of(
            _outer(table.groups),
            table.counts,
            hierarchy.up(table.evidence, precision),
            table.keys,
            rule,
            table.model,
        )

    def posteriors(self) -> dict[str, Posterior]:
        """By level, the latents of its groups given all that is known."""
        tables = self.all_tables()
        found: dict[str, Posterior] = {}
        for name in tables.keys() - self.inner.keys():
            found[name] = Posterior(
                tables[name].groups, *tables[name].posterior()
            )
        for name, (parent, precision) in reversed(self.inner.items()):
            table, around = tables[name], found[parent]
            rows = np.searchsorted(around.groups, _outer(table.groups))
            outer = around.loc[rows], around.scale[rows]
            normal = hierarchy.marginal(table.evidence, outer, precision)
            found[name] = Posterior(table.groups, *map(np.asarray, normal))
        return {name: found[name] for name in tables}

    def merge(self, other: LevelStores, twice: bool = False) -> LevelStores:
        """Two lots of observations taken together: `ContentStore.merge`."""
        return self._each(other, lambda mine, others: mine.merge(others, twice))

    def remove(self, part: LevelStores) -> LevelStores:
        """Without the observations of `part`: `ContentStore.remove`."""
        return self._each(part, ContentStore.remove)

    def _each(
        self,
        other: LevelStores,
        combine: Callable[[ContentStore, ContentStore], ContentStore],
    ) -> LevelStores:
        if _levels(self) != _levels(other):
            raise InputError(
                "the stores are of other levels, or of others within others: "
                f"expected {', '.join(self.tables)}, got "
                f"{', '.join(other.tables)}. Encode all observations with one "
                "model."
            )
        tables = {
            name: combine(table, other.tables[name])
            for name, table in self.tables.items()
        }
        return dataclasses.replace(self, tables=tables)

    def save(self, folder: pathlib.Path) -> None:
        """Write a folder with NAME.parquet for every level, whole or not."""
        posteriors = self.posteriors()
        with files.whole(folder) as partial:
            for name, table in self.all_tables().items():
                _, loc, scale = posteriors[name]
                table.save(partial / f"{name}.parquet", (loc, scale))
            files.write_json(partial / _ABOUT, _levels(self))

    @classmethod
    def load(cls, folder: pathlib.Path) -> LevelStores:
        """Read a folder that `save` wrote.

        Raises:
            InputError: If there is none, or it is damaged.
        """
        path = folder / _ABOUT
        if not path.is_file():
            raise InputError(
                f"{folder}: there are no stores of several levels."
            )
        try:
            about = json.loads(path.read_text())
            inner = {
                str(name): Inner(str(parent), np.array(precision, np.float64))
                for name, (parent, precision) in about["inner"].items()
            }
            names = [str(name) for name in about["tables"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{path} is damaged. Encode its observations again."
            ) from None
        tables = {
            name: ContentStore.load(folder / f"{name}.parquet")
            for name in names
        }
        return cls(tables, inner)


def _levels(stores: LevelStores) -> dict[str, Any]:
    inner = {
        name: [parent, precision.tolist()]
        for name, (parent, precision) in stores.inner.items()
    }
    return {"tables": list(stores.tables), "inner": inner}


def _outer(groups: np.ndarray) -> np.ndarray:
    """The ids of the groups that these are in."""
    outer = [group.rpartition("/")[0] for group in groups.tolist()]
    return np.array(outer, np.str_)


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
    batch_size: int = 1024,
) -> LevelStores:
    """The stores of all levels, from one pass through the encoder.

    Args:
        model: The model.
        observations: `[N, ...]`, values or uint8 images, in memory or on a
            disk. Equal ones all count.
        group_ids: By level `[N]`, integers or strings, in any order.
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
    keys = GroupedData.of(observations, ids[names[0]]).keys
    tables = {}
    for level in codec.drawn:
        groups, index = data[level.name]
        index = np.where(heard, index, -1)
        tables[level.name] = ContentStore.of(
            groups,
            np.bincount(index[heard], minlength=len(groups)),
            totals[level.name],
            encoding.by_group(keys, index),
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
                rows = data[name][1][start:stop][told]
                for total, part in zip(totals[name], parts):
                    np.add.at(total, rows, part[told])
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
