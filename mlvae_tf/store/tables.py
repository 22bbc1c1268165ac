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

from mlvae_tf import evidence, files, hierarchy
from mlvae_tf.errors import InputError
from mlvae_tf.store.table import ContentStore

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
            table.fingerprint,
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
