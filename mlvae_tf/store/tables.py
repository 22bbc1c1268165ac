"""The content stores of a model's levels: a table for each, in one folder.

A level alone has its table in a file of its own.

Observations tell of the levels that the decoder reads, so those have tables
that observations are added to and taken out of. What an outer level's groups
are told by their inner ones (`mlvae_tf.hierarchy`) is found from the inner
table's rows. It does not add up over parts of an inner group, so that it is
never kept, only written for whoever reads the files.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from mlvae_tf import evidence, files, hierarchy
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import CONTENT
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.store import multiset
from mlvae_tf.store.ids import as_stored, outer
from mlvae_tf.store.layout import Inner, Layout
from mlvae_tf.store.table import ContentStore

_ABOUT = "levels.json"


class Parts(NamedTuple):
    """Parts of a level's groups, as `ContentStore.of` takes them."""

    group_ids: np.ndarray
    counts: np.ndarray
    evidence: Evidence
    keys: np.ndarray


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

    @classmethod
    def of(cls, layout: Layout, parts: Mapping[str, Parts]) -> LevelStores:
        """Add up, by level, parts of groups."""
        tables = {
            name: ContentStore.of(*parts[name], rule, layout.fingerprint)
            for name, rule in layout.rules.items()
        }
        return cls(tables, layout.inner)

    @property
    def layout(self) -> Layout:
        """Of which levels they are, and of which model."""
        rules = {name: table.rule for name, table in self.tables.items()}
        first, *_ = self.tables.values()
        return Layout(rules, self.inner, first.fingerprint)

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
            outer(table.groups),
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
            rows = np.searchsorted(around.groups, outer(table.groups))
            given = around.loc[rows], around.scale[rows]
            normal = hierarchy.marginal(table.evidence, given, precision)
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
        self._check_levels(other.layout)
        tables = {
            name: combine(table, other.tables[name])
            for name, table in self.tables.items()
        }
        return dataclasses.replace(self, tables=tables)

    def held(self, parts: list[GroupedData]) -> list[np.ndarray]:
        """Which of some observations the store has, a mask for every part.

        Equal observations count: of three, as many as the store has.

        Raises:
            InputError: If some have other groups of one level than there, but
                not of another.
        """
        return multiset.contained_in_all(self._by_level(parts), self.tables)

    def check_new(self, parts: list[GroupedData]) -> None:
        """Raise `InputError` if it has any of these observations."""
        for name, of_level in self._by_level(parts).items():
            multiset.check_new(of_level, self.tables[name])

    def check_held(self, parts: list[GroupedData]) -> None:
        """Raise `InputError` unless it has all these observations."""
        for name, of_level in self._by_level(parts).items():
            multiset.check_held(of_level, self.tables[name])

    def check_adds_up(self, layout: Layout, parts: list[GroupedData]) -> None:
        """Raise `InputError` if it is of another model or kind of ids."""
        self._check_levels(layout)
        for name, of_level in self._by_level(parts).items():
            table = self.tables[name]
            table.check_model(layout.rules[name], layout.fingerprint)
            for part in of_level:
                table.check_ids(part.groups)

    def _by_level(
        self, parts: list[GroupedData]
    ) -> dict[str, list[GroupedData]]:
        """Observations in the groups of each table, with ids as it has them."""
        parents = self.layout.parents
        stored = [as_stored(part, parents) for part in parts]
        return {
            name: [part.on(name) for part in stored] for name in self.tables
        }

    def _check_levels(self, layout: Layout) -> None:
        """Raise `InputError` unless the levels are the same."""
        if self.layout.described() != layout.described():
            raise InputError(
                "the stores are of other levels, or of others within others: "
                f"expected {', '.join(self.tables)}, got "
                f"{', '.join(layout.rules)}. Encode all observations with one "
                "model."
            )

    def save(self, path: pathlib.Path) -> None:
        """Write what there is, whole or not at all.

        Args:
            path: A folder, which has NAME.parquet for every level then. For
                the table of a level alone, also a file (`ContentStore.save`).
        """
        table, *others = self.tables.values()
        is_file = path.name.lower().endswith(files.TABLES)
        if is_file and not (others or self.inner):
            table.save(path)
            return
        posteriors = self.posteriors()
        with files.whole(path) as partial:
            for name, table in self.all_tables().items():
                _, loc, scale = posteriors[name]
                table.save(partial / f"{name}.parquet", (loc, scale))
            files.write_json(partial / _ABOUT, self.layout.described())

    @classmethod
    def load(cls, folder: pathlib.Path) -> LevelStores:
        """Read a folder that `save` wrote, or a file, which is of a content.

        Raises:
            InputError: If there is none, or it is damaged.
        """
        if not folder.is_dir():
            return cls({CONTENT: ContentStore.load(folder)}, {})
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
