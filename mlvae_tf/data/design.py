"""What the groups of several levels can tell apart, before any training.

Who saw what is known from the ids alone: a level of one group has nothing to
tell, one whose groups have single observations shares nothing, and where every
person was seen under one light only, what is the person's and what is the
light's cannot be told apart.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy import sparse

from mlvae_tf.data.observations import index_dtype
from mlvae_tf.errors import InputError

_NAMED = 3  # Groups that a message names.

ByLevel = dict[str, np.ndarray]  # An array for each level, by its name.
Table = list[list[str]]


@dataclasses.dataclass(frozen=True)
class Groups:
    """The groups of a level.

    Attributes:
        count: Their number.
        least: Observations of the smallest.
        median: Observations of the median one.
        single: How many have one observation.
    """

    count: int
    least: int
    median: float
    single: int

    @classmethod
    def of(cls, group_index: np.ndarray) -> Groups:
        """Of the group of each observation, int32 `[N]`."""
        sizes = np.bincount(group_index)
        sizes = sizes[sizes > 0]
        return cls(
            len(sizes),
            int(sizes.min()),
            float(np.median(sizes)),
            int(np.sum(sizes == 1)),
        )


@dataclasses.dataclass(frozen=True)
class Cross:
    """What two levels see of each other.

    Attributes:
        cells: Pairs of their groups that have an observation.
        parts: Connected components of the groups, linked by observations: of
            groups in two of them nothing can be compared.
        bound: By level, int `[n]`, its groups that were seen with one group of
            the other level alone.
    """

    cells: int
    parts: int
    bound: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, left: np.ndarray, right: np.ndarray) -> Cross:
        """Of the groups of each observation at two levels, int32 `[N]`."""
        shape = count_groups(left), count_groups(right)
        cells = left * np.int64(shape[1]) + right
        cells.sort()  # np.unique takes thirty times as long.
        cells = cells[np.append(True, cells[1:] != cells[:-1])]
        pair = cells // shape[1], cells % shape[1]
        seen = [np.bincount(part, minlength=n) for part, n in zip(pair, shape)]
        bound = [np.flatnonzero(part == 1) for part in seen]
        return cls(len(cells), _parts(seen, pair[1]), (bound[0], bound[1]))


@dataclasses.dataclass(frozen=True)
class Design:
    """What is known of all levels.

    Attributes:
        groups: By level.
        crosses: By pair of levels, in the order given.
        ids: By level, `[G]`, what its groups are called.
        parents: By level that is declared nested, the level around it.
    """

    groups: dict[str, Groups]
    crosses: dict[tuple[str, str], Cross]
    ids: dict[str, np.ndarray]
    parents: dict[str, str]

    @classmethod
    def of(
        cls,
        group_indices: ByLevel,
        ids: dict[str, np.ndarray] | None = None,
        parents: dict[str, str] | None = None,
    ) -> Design:
        """Look at the groups of each observation.

        Args:
            group_indices: By level, int32 `[N]`, from 0 on.
            ids: By level, `[G]`, what its groups are called; by default their
                numbers.
            parents: By level that is declared nested, the level around it.
        """
        numbers = {
            k: np.arange(count_groups(v)) for k, v in group_indices.items()
        }
        return cls(
            {name: Groups.of(groups) for name, groups in group_indices.items()},
            {
                pair: Cross.of(group_indices[pair[0]], group_indices[pair[1]])
                for pair in itertools.combinations(group_indices, 2)
            },
            ids or numbers,
            parents or {},
        )

    def inside(self) -> list[tuple[str, str]]:
        """Pairs of levels, the first within the second; equal ones both ways.

        A level of one group is around everything, and is not named.
        """
        found = []
        for pair, cross in self.crosses.items():
            for (inner, outer), bound in zip((pair, pair[::-1]), cross.bound):
                if len(bound) == self.groups[inner].count:
                    found.append((inner, outer))
        return [(a, b) for a, b in found if self.groups[b].count > 1]

    def table(self) -> Table:
        """Header and rows: the levels, and the sizes of their groups."""
        rows = [["level", "groups", "observations: least", "median", "single"]]
        for name, groups in self.groups.items():
            numbers = groups.count, groups.least, groups.median, groups.single
            rows.append([name, *(f"{number:,.10g}" for number in numbers)])
        return rows

    def crossing_table(self) -> Table:
        """Header and rows: what every two levels see of each other."""
        rows = [["levels", "cells seen", "of all", "connected", "in one only"]]
        inside = self.inside()
        for pair, cross in self.crosses.items():
            left, right = pair
            every = self.groups[left].count * self.groups[right].count
            bound = " + ".join(f"{len(part):,}" for part in cross.bound)
            joined = "yes" if cross.parts == 1 else f"{cross.parts:,} parts"
            name = f"{left} x {right}"
            if pair in inside or pair[::-1] in inside:
                inner, outer = pair if pair in inside else pair[::-1]
                name, joined, bound = f"{inner} in {outer}", "nested", ""
                if pair in inside and pair[::-1] in inside:
                    name, joined = f"{left} = {right}", "the same"
            cells = f"{cross.cells:,}", f"{cross.cells / every:.1%}"
            rows.append([name, *cells, joined, bound])
        return rows

    def doubts(self) -> list[str]:
        """What cannot be told apart, a line each; none where all is well."""
        found = []
        for name, groups in self.groups.items():
            if groups.single > groups.count / 2:
                found.append(
                    f"{groups.single:,} of {groups.count:,} groups of {name} "
                    "have a single observation, and share nothing"
                )
        inside = self.inside()
        for inner, outer in inside:
            if self.parents.get(inner) != outer:
                found.append(
                    f"every {inner} is within one {outer}, and neither is told "
                    f'from the other: declare {inner} with parent="{outer}", '
                    f"--parents={inner}:{outer}"
                )
        for pair, cross in self.crosses.items():
            if pair not in inside and pair[::-1] not in inside:
                found += self._bound(pair, cross)
        return found

    def _bound(self, pair: tuple[str, str], cross: Cross) -> list[str]:
        """What two crossed levels do not tell apart."""
        found = []
        for (name, other), bound in zip((pair, pair[::-1]), cross.bound):
            if len(bound) and self.groups[other].count > 1:
                found.append(
                    f"{len(bound):,} of {self.groups[name].count:,} groups of "
                    f"{name} ({self._named(name, bound)}) were seen with one "
                    f"{other} only: what is due to which is not known"
                )
        if cross.parts > 1:
            found.append(
                f"{pair[0]} and {pair[1]} fall into {cross.parts:,} parts that "
                "share no group: what sets the parts apart is not known"
            )
        return found

    def _named(self, name: str, groups: np.ndarray) -> str:
        """Some groups by their ids."""
        named = [str(self.ids[name][group]) for group in groups[:_NAMED]]
        return ", ".join(named) + (", ..." if len(groups) > _NAMED else "")

    def check(self) -> None:
        """Refuse what cannot be learned.

        Raises:
            InputError: If a level has one group, or groups of one observation
                alone; if two levels have the same groups; or if a level is
                not within its parent.
        """
        for name, groups in self.groups.items():
            if groups.count == 1:
                raise InputError(
                    f"{name} must have two groups at least: got one, "
                    f"{self._named(name, np.arange(1))}, and a latent that all "
                    f"observations share says nothing. Leave {name} out."
                )
            if groups.single == groups.count:
                raise InputError(
                    f"groups of {name} must share observations: got "
                    f"{groups.count:,} groups of one observation each, which "
                    f"is what the style is for. Leave {name} out."
                )
        inside = self.inside()
        for inner, outer in inside:
            if (outer, inner) in inside:
                raise InputError(
                    f"{inner} and {outer} have the same groups: nothing tells "
                    "their latents apart. Leave one of them out."
                )
        for inner, outer in self.parents.items():
            if (inner, outer) not in inside:
                self._refuse(inner, outer)

    def _refuse(self, inner: str, outer: str) -> None:
        """A level that is not within the one declared as its parent."""
        if (inner, outer) in self.crosses:
            bound = self.crosses[inner, outer].bound[0]
        else:
            bound = self.crosses[outer, inner].bound[1]
        every = np.arange(len(self.ids[inner]))
        torn = self._named(inner, np.setdiff1d(every, bound))
        raise InputError(
            f"every {inner} must be within one {outer}, its parent: {torn} "
            f"came with several. Give ids that are unique, such as "
            f"{outer}/{inner}, or leave the parent out."
        )


def _parts(seen: list[np.ndarray], partners: np.ndarray) -> int:
    """Connected components of the groups of two levels.

    Args:
        seen: By level, with how many of the other's each of its groups is.
        partners: Of the first level's groups, one after the other, with which.
    """
    total = len(seen[0]) + len(seen[1])
    dtype = index_dtype(max(total, len(partners)))
    # Links of the first level's groups to the second's, which have none.
    offsets = np.zeros(total + 1, dtype)
    np.cumsum(seen[0], out=offsets[1 : len(seen[0]) + 1])
    offsets[len(seen[0]) + 1 :] = len(partners)
    columns = (partners + len(seen[0])).astype(dtype)
    graph = sparse.csr_array(
        (np.ones(len(columns), np.int8), columns, offsets), shape=(total, total)
    )
    parts, _ = sparse.csgraph.connected_components(graph, connection="weak")
    left_out = sum(int(np.sum(part == 0)) for part in seen)
    return parts - left_out


def count_groups(group_index: np.ndarray) -> int:
    """How many groups the numbers of each observation's, int32 `[N]`, name."""
    return int(group_index.max()) + 1


def is_inside(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether each group of a level is within one group of another.

    Args:
        inner: int32 `[N]`, the group of each observation.
        outer: The same of the other level.
    """
    found = np.zeros(count_groups(inner), outer.dtype)
    found[inner] = outer
    return bool(np.array_equal(found[inner], outer))
