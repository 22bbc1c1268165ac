"""What is known of every group, kept: a table of accumulated evidence.

A row a group: how many observations it has had, and the sum of their evidence
(`mlvae_tf.evidence`) in float64. Since evidence adds up, new observations join
a stored table without the old ones, two tables merge, and observations can be
taken back out. On disk it is Parquet, with the posterior beside the evidence
for whoever only reads it.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlvae_tf import evidence, files
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.layers import RULES, EvidenceAccumulation

# Of a group's precision: less than that is rounding, in float64 sums ...
MIN_SHARE = 1e-9
# ... and what may be left of it when the last observation is taken out, which
# may have been encoded in another batch, in float32.
MAX_REMAINDER = 1e-3

_COLUMNS = *Evidence._fields, "loc", "scale"
_METADATA = b"mlvae_tf"


@dataclasses.dataclass(frozen=True, eq=False)
class ContentStore:
    """The accumulated evidence of groups, as `of` and `load` make it.

    Attributes:
        groups: Distinct ids in sorted order, int64 or strings, `[G]`.
        counts: Observations of each group, int64 `[G]`, at least one.
        evidence: Their evidence, float64 `[G, content_dim]`.
        rule: How evidence makes the content: `"product"` or
            `"product_with_prior"`.
        model: Identity of the model that encoded the observations; evidence
            of two models does not add up.
    """

    groups: np.ndarray
    counts: np.ndarray
    evidence: Evidence
    rule: str
    model: str

    @classmethod
    def of(
        cls,
        group_ids: np.ndarray,
        counts: np.ndarray,
        parts: Evidence,
        rule: str,
        model: str,
    ) -> ContentStore:
        """Add up parts of groups.

        Args:
            group_ids: The group of each part, integers or strings, `[P]`.
            counts: Observations of each part, integers `[P]`.
            parts: Their evidence, float64 `[P, content_dim]`.
            rule: As the attribute.
            model: As the attribute.

        Returns:
            The store of all groups that have observations.
        """
        check_rule(rule)
        heard = counts > 0
        groups, rows = np.unique(as_ids(group_ids[heard]), return_inverse=True)
        sums = np.zeros(len(groups), np.int64)
        np.add.at(sums, rows, counts[heard])
        total = evidence.accumulate(
            Evidence(*(part[heard] for part in parts)), rows, len(groups)
        )
        total = Evidence(*(part.numpy() for part in total))
        return cls(groups, sums, total, rule, model)

    def __len__(self) -> int:
        return len(self.groups)

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """The content of every group: `(loc, scale)`, `[G, content_dim]`."""
        content = EvidenceAccumulation(self.rule).posterior(self.evidence)
        return content.loc.numpy(), content.scale.numpy()

    def merge(self, other: ContentStore) -> ContentStore:
        """The store of two disjoint sets of observations taken together.

        Raises:
            InputError: If their models, rules or kinds of ids differ.
        """
        self.check_compatible(other)
        stores = self, other
        return ContentStore.of(
            np.concatenate([store.groups for store in stores]),
            np.concatenate([store.counts for store in stores]),
            Evidence(*map(np.concatenate, zip(*(s.evidence for s in stores)))),
            self.rule,
            self.model,
        )

    def remove(self, part: ContentStore) -> ContentStore:
        """The store without the observations of `part`, which it contains.

        A group whose last observation goes disappears, and with it what
        rounding has left of its evidence.

        Raises:
            InputError: If the models, rules or kinds of ids differ, or if a
                group has not all of these observations: as far as its count
                and its precision tell, which must stay positive.
        """
        self.check_compatible(part)
        unknown = part.groups[~np.isin(part.groups, self.groups)]
        if len(unknown):
            raise InputError(
                f"cannot take observations out of {_name(unknown)}: the store "
                "has no such group. Take out only what was added."
            )
        rows = np.searchsorted(self.groups, part.groups)
        before = Evidence(*(total[rows] for total in self.evidence))
        left = evidence.subtract(before, part.evidence)
        counts_left = self.counts[rows] - part.counts
        _check_left(part.groups, counts_left, before, left)
        counts = self.counts.copy()
        counts[rows] = counts_left
        total = Evidence(*(total.copy() for total in self.evidence))
        for column, values in zip(total, left):
            column[rows] = values
        return ContentStore.of(
            self.groups, counts, total, self.rule, self.model
        )

    def check_compatible(self, other: ContentStore) -> None:
        """Raise `InputError` unless the evidence of both adds up."""
        self.check_model(other.rule, other.model)
        self.check_ids(other.groups)

    def check_model(self, rule: str, model: str) -> None:
        """Raise `InputError` unless the store is of this model and rule."""
        if (self.rule, self.model) != (rule, model):
            raise InputError(
                f"the store is of model {self.model} with rule {self.rule}: "
                f"got evidence of model {model} with rule {rule}, which does "
                "not add up with it. Encode all observations with one model."
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

    def save(self, path: pathlib.Path) -> None:
        """Write the table, whole or not at all."""
        dim = self.evidence.precision.shape[1]
        values = dict(zip(_COLUMNS, (*self.evidence, *self.posterior())))
        columns = {
            "group": pa.array(self.groups, _id_type(self.groups)),
            "count": pa.array(self.counts),
            **{
                name: pa.FixedSizeListArray.from_arrays(column.ravel(), dim)
                for name, column in values.items()
            },
        }
        about = json.dumps({"model": self.model, "rule": self.rule})
        schema = _schema(_id_type(self.groups), dim).with_metadata(
            {_METADATA: about}
        )
        table = pa.table(columns, schema)
        with files.whole(path) as partial:
            pq.write_table(table, partial, write_page_checksum=True)

    @classmethod
    def load(cls, path: pathlib.Path) -> ContentStore:
        """Read a table that `save` wrote.

        Raises:
            InputError: If there is none, it is damaged, or of another kind.
        """
        table = _read(path)
        about = _about(table.schema, path)
        ids = table["group"]
        is_string = pa.types.is_string(ids.type)
        shape = len(ids), table.schema.field("precision").type.list_size
        parts = (
            table[name].combine_chunks().flatten().to_numpy().reshape(shape)
            for name in Evidence._fields
        )
        store = cls(
            np.array(ids.to_pylist(), np.str_ if is_string else np.int64),
            table["count"].to_numpy(),
            Evidence(*parts),
            **about,
        )
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


def check_rule(rule: str) -> None:
    """Raise `InputError` unless evidence makes the content by this rule."""
    if rule not in RULES or rule == "average":
        raise InputError(
            "a content store needs a rule that adds evidence up, product or "
            f"product_with_prior: got {rule}. Train with "
            "--accumulation=product."
        )


def as_ids(group_ids: np.ndarray) -> np.ndarray:
    """Group ids as the table holds them: int64, or strings.

    Raises:
        InputError: If they are neither, or too large.
    """
    if group_ids.dtype.kind == "U":
        return group_ids
    limit = np.iinfo(np.int64).max
    small = group_ids.dtype.kind in "iu" and not np.any(group_ids > limit)
    if not small:
        raise InputError(
            "group ids must be strings, or integers within 64 bits with a "
            f"sign: got {group_ids.dtype}. Save them as strings."
        )
    return group_ids.astype(np.int64)


def _name(groups: np.ndarray) -> str:
    names = ", ".join(map(repr, groups[:3].tolist()))
    more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
    return f"group{'s' * (len(groups) > 1)} {names}{more}"


def _check_left(
    groups: np.ndarray, counts: np.ndarray, before: Evidence, left: Evidence
) -> None:
    """Raise `InputError` for groups that can't be left with that."""
    share: np.ndarray = left.precision / before.precision
    valid = np.where(
        counts > 0,
        (share > MIN_SHARE).all(axis=1),
        (np.abs(share) < MAX_REMAINDER).all(axis=1),
    )
    bad = groups[~valid | (counts < 0)]
    if len(bad):
        raise InputError(
            f"cannot take these observations out of {_name(bad)}: the store "
            "has fewer, or others, or they are so much of its precision that "
            "rounding hides the rest. Take out only what was added, or encode "
            "anew what is to stay."
        )


def _id_type(groups: np.ndarray) -> pa.DataType:
    return pa.string() if groups.dtype.kind == "U" else pa.int64()


def _schema(id_type: pa.DataType, dim: int) -> pa.Schema:
    vector = pa.list_(pa.float64(), dim)
    types = {"group": id_type, "count": pa.int64()}
    types |= dict.fromkeys(_COLUMNS, vector)
    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in types.items()]
    )


def _read(path: pathlib.Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path}: there is no such table of encode.py.")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is damaged, or no Parquet table: {error}"
        ) from None


def _about(schema: pa.Schema, path: pathlib.Path) -> dict[str, str]:
    """Model and rule, if it is the schema of such a table."""
    try:
        about = json.loads(schema.metadata[_METADATA])
        about = {name: str(about[name]) for name in ("rule", "model")}
        dim = schema.field("precision").type.list_size
        ids = schema.field("group").type
        known = ids in (pa.int64(), pa.string()) and schema.equals(
            _schema(ids, dim)
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        known = False
    if not known:
        raise InputError(
            f"{path} is no table of encode.py: expected group, count, "
            f"{', '.join(_COLUMNS)} and the identity of their model: got "
            f"{', '.join(schema.names[:8]) or 'no columns'}."
        )
    check_rule(about["rule"])
    return about
