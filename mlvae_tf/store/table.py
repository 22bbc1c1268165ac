"""What is known of every group, kept: a table of accumulated evidence.

A row per group: how many observations it has had, which ones, and the sum of
their evidence (`mlvae_tf.evidence`) in float64. Since evidence adds up, new
observations join a stored table without the old ones, two tables merge, and
observations can be taken back out. Of each one its key is kept
(`mlvae_tf.data.identity`), eight bytes by which it is noticed when it comes
again. On disk it is Parquet, with the posterior beside the evidence for whoever
only reads it.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Sequence

import numpy as np

from mlvae_tf import evidence
from mlvae_tf.comparison import Comparison
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.fingerprint import fingerprint
from mlvae_tf.layers import RULES, EvidenceAccumulation
from mlvae_tf.levels import Level
from mlvae_tf.model import MLVAE
from mlvae_tf.store import disk, multiset
from mlvae_tf.store.ids import as_ids
from mlvae_tf.store.multiset import Identified
from mlvae_tf.store.queries import Answers, evidence_of

# Of a group's precision: less than that is rounding, in float64 sums.
MIN_SHARE = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class ContentStore:
    """The accumulated evidence of groups, as `of` and `load` make it.

    Attributes:
        groups: Distinct ids in sorted order, int64 or strings, `[G]`.
        counts: Observations of each group, int64 `[G]`, at least one.
        evidence: Their evidence, float64 `[G, content_dim]`.
        keys: Which observations they are, uint64 `[N]`: the sorted keys of the
            first group's, then those of the second's, ... Equal observations
            have equal keys.
        rule: How evidence makes the content: `"product"` or
            `"product_with_prior"`.
        fingerprint: Identity of the model that encoded the observations;
            evidence of two models does not add up. Files call it `model`.
    """

    groups: np.ndarray
    counts: np.ndarray
    evidence: Evidence
    keys: np.ndarray
    rule: str
    fingerprint: str

    @classmethod
    def of(
        cls,
        group_ids: np.ndarray,
        counts: np.ndarray,
        parts: Evidence,
        keys: np.ndarray,
        rule: str,
        fingerprint: str,
    ) -> ContentStore:
        """Add up parts of groups.

        Args:
            group_ids: The group of each part, integers or strings, `[P]`.
            counts: Observations of each part, integers `[P]`.
            parts: Their evidence, float64 `[P, content_dim]`.
            keys: uint64 `[counts.sum()]`: which observations they are, those
                of the first part, then those of the second, ...
            rule: As the attribute.
            fingerprint: As the attribute.

        Returns:
            The store of all groups that have observations.
        """
        check_rule(rule)
        heard = counts > 0
        groups, group_index = np.unique(
            as_ids(group_ids[heard]), return_inverse=True
        )
        sums = np.zeros(len(groups), np.int64)
        np.add.at(sums, group_index, counts[heard])
        total = evidence.accumulate(
            Evidence(*(part[heard] for part in parts)),
            group_index,
            len(groups),
        )
        total = Evidence(*(part.numpy() for part in total))
        order = np.lexsort((keys, np.repeat(group_index, counts[heard])))
        return cls(groups, sums, total, keys[order], rule, fingerprint)

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def group_index(self) -> np.ndarray:
        """int32 `[N]`: the row of each observation's group."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.counts)

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """The content of every group: `(loc, scale)`, `[G, content_dim]`."""
        content = EvidenceAccumulation(self.rule).posterior(self.evidence)
        return content.loc.numpy(), content.scale.numpy()

    def identify(
        self,
        model: MLVAE,
        observations: np.ndarray,
        comparison: Comparison | None = None,
        threshold: float = -math.inf,
        best: int = 3,
        level: str | None = None,
    ) -> Answers:
        """The groups that each of some observations is most like.

        Args:
            model: What encoded the stored observations.
            observations: `[N, ...]`, values, or uint8 images.
            comparison: What compares them, such as a run has learned; by
                default their posteriors do.
            threshold: The score from which on an observation's group is known.
            best: How many groups to name.
            level: Of which the stored groups are, of a model with several.

        Raises:
            InputError: If the store is of another model or has no groups, or
                if the observations or the level do not fit the model.
        """
        rule = level_of(model, level).accumulation
        self.check_model(rule, fingerprint(model))
        if not len(self):
            raise InputError(
                "the store has no groups, of which an observation could be: "
                "encode some first."
            )
        by = comparison or Comparison(rule=rule)
        asked = evidence_of(model, observations, level)
        rows, scores = by.nearest(asked, self.evidence, self.counts, best)
        return Answers(self.groups[rows], scores, scores[:, 0] >= threshold)

    def merge(self, other: ContentStore, twice: bool = False) -> ContentStore:
        """The store of two lots of observations taken together.

        Args:
            other: The other lot.
            twice: Count observations twice that are in both.

        Raises:
            InputError: If their models, rules or kinds of ids differ, or if
                they have observations in common that are not to count twice.
        """
        self.check_compatible(other)
        if not twice:
            multiset.check_new([other], self)
        stores = self, other
        return ContentStore.of(
            np.concatenate([store.groups for store in stores]),
            np.concatenate([store.counts for store in stores]),
            Evidence(*map(np.concatenate, zip(*(s.evidence for s in stores)))),
            np.concatenate([store.keys for store in stores]),
            self.rule,
            self.fingerprint,
        )

    def remove(self, part: ContentStore) -> ContentStore:
        """The store without the observations of `part`, which it contains.

        A group whose last observation goes disappears, and with it what
        rounding has left of its evidence.

        Raises:
            InputError: If the models, rules or kinds of ids differ, if a group
                has not all of these observations, or if they are so much of it
                that rounding hides the rest.
        """
        self.check_compatible(part)
        multiset.check_held([part], self)
        (gone,) = multiset.contained([self], part)
        rows = np.searchsorted(self.groups, part.groups)
        before = Evidence(*(total[rows] for total in self.evidence))
        left = evidence.subtract(before, part.evidence)
        counts = self.counts.copy()
        counts[rows] -= part.counts
        _check_left(part.groups, counts[rows], before, left)
        total = Evidence(*(total.copy() for total in self.evidence))
        for column, values in zip(total, left):
            column[rows] = values
        return ContentStore.of(
            self.groups,
            counts,
            total,
            self.keys[~gone],
            self.rule,
            self.fingerprint,
        )

    def held(self, parts: Sequence[Identified]) -> list[np.ndarray]:
        """Which of some observations the store has, a mask for every part.

        Equal observations count: of three, as many as the store has.
        """
        return multiset.contained(parts, self)

    def check_compatible(self, other: ContentStore) -> None:
        """Raise `InputError` unless the evidence of both adds up."""
        self.check_model(other.rule, other.fingerprint)
        self.check_ids(other.groups)

    def check_model(self, rule: str, fingerprint: str) -> None:
        """Raise `InputError` unless the store is of this model and rule."""
        if (self.rule, self.fingerprint) != (rule, fingerprint):
            raise InputError(
                f"the store is of model {self.fingerprint} with rule "
                f"{self.rule}: got evidence of model {fingerprint} with rule "
                f"{rule}, which does not add up with it. Encode all "
                "observations with one model."
            )

    def check_ids(self, group_ids: np.ndarray) -> None:
        """Raise `InputError` unless the store's ids are of this kind."""
        kinds = [
            "strings" if ids.dtype.kind == "U" else "integers"
            for ids in (self.groups, group_ids)
        ]
        if len(self) and len(group_ids) and kinds[0] != kinds[1]:
            raise InputError(
                f"the store's group ids are {kinds[0]}: got {kinds[1]}, among "
                "which no group would find its like. Save the dataset with "
                f"{kinds[0]} as its ids."
            )

    def save(
        self,
        path: pathlib.Path,
        posterior: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Write the table, whole or not at all.

        Args:
            path: Ends in .parquet; or in .csv, which cannot be loaded again:
                it lacks the observations' keys.
            posterior: What to write as that of every group; by default
                `posterior()`.
        """
        about = {"model": self.fingerprint, "rule": self.rule}
        loc, scale = posterior or self.posterior()
        vectors = {**self.evidence._asdict(), "loc": loc, "scale": scale}
        contents = disk.Contents(
            self.groups, self.counts, vectors, self.keys, about
        )
        disk.write(path, contents)

    @classmethod
    def load(cls, path: pathlib.Path) -> ContentStore:
        """Read a table that `save` wrote.

        Raises:
            InputError: If there is none, it is damaged, or of another kind.
        """
        groups, counts, vectors, keys, about = disk.read(path)
        check_rule(about["rule"])
        total = Evidence(*(vectors[name] for name in Evidence._fields))
        store = cls(groups, counts, total, keys, about["rule"], about["model"])
        store._check_rows(path)
        return store

    def _check_rows(self, path: pathlib.Path) -> None:
        precision, weighted_loc = self.evidence
        good = (
            np.all(self.groups[1:] > self.groups[:-1])
            and np.all(self.counts > 0)
            and np.all(precision > 0)
            and np.all(np.isfinite(precision) & np.isfinite(weighted_loc))
        )
        if not good:
            raise InputError(
                f"{path} is damaged: expected distinct groups in sorted order, "
                "positive counts and precisions, and finite values. Encode its "
                "observations again."
            )


def level_of(model: MLVAE, name: str | None = None) -> Level:
    """The level of this name; of a model with one, that.

    Raises:
        InputError: If observations tell of no such level.
    """
    levels = {level.name: level for level in model.codec.drawn}
    if name is None and len(model.levels) == 1:
        return model.levels[0]
    if name not in levels:
        got = "none" if name is None else repr(name)
        raise InputError(
            f"level must be one that observations tell of, "
            f"{', '.join(levels)}: got {got}."
        )
    return levels[name]


def check_rule(rule: str) -> None:
    """Raise `InputError` unless evidence makes the content by this rule."""
    if rule not in RULES or rule == "average":
        raise InputError(
            "a content store needs a rule that adds evidence up, product or "
            f"product_with_prior: got {rule}. Train with "
            "--accumulation=product."
        )


def _check_left(
    groups: np.ndarray, counts: np.ndarray, before: Evidence, left: Evidence
) -> None:
    """Raise `InputError` for groups that can't be left with that."""
    share: np.ndarray = left.precision / before.precision
    bad = groups[(counts > 0) & ~(share > MIN_SHARE).all(axis=1)]
    if len(bad):
        raise InputError(
            "cannot take these observations out of "
            f"{multiset.named(bad)}: they are so much of its precision that "
            "rounding hides the rest. Encode anew what is to stay."
        )
