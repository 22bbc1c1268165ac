"""The content store on a disk: a Parquet table, or CSV for others to read."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlvae_tf.errors import InputError
from mlvae_tf.store import columns

_VECTORS = "precision", "weighted_loc", "loc", "scale"
_KEYS = "observations"
_METADATA = b"mlvae_tf"


class Contents(NamedTuple):
    """What a table holds.

    Attributes:
        groups: Ids `[G]`.
        counts: Observations of each, int64 `[G]`.
        vectors: By name, `precision`, `weighted_loc`, `loc` and `scale`,
            float64 `[G, content_dim]`.
        keys: Of the observations, uint64 `[counts.sum()]`, group after group.
        about: The `model` and the `rule`.
    """

    groups: np.ndarray
    counts: np.ndarray
    vectors: Mapping[str, np.ndarray]
    keys: np.ndarray
    about: Mapping[str, str]


def write(path: pathlib.Path, contents: Contents) -> None:
    """Write a table, whole or not at all; see `columns.writing`."""
    groups, counts, vectors, keys, about = contents
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows = {
        "group": columns.ids(groups),
        "count": pa.array(counts),
        **{name: columns.vectors(vectors[name]) for name in _VECTORS},
        _KEYS: pa.LargeListArray.from_arrays(starts, keys),
    }
    schema = _schema(rows["group"].type, vectors["loc"].shape[1])
    schema = schema.with_metadata({_METADATA: json.dumps(about)})
    with columns.writing(path, schema) as write_rows:
        write_rows(pa.table(rows, schema))


def read(path: pathlib.Path) -> Contents:
    """Read a table that `write` wrote as Parquet.

    Raises:
        InputError: If there is none, it is damaged, or of another kind.
    """
    table = columns.read(path)
    about = _about(table.schema, path)
    counts, keys = table["count"].to_numpy(), table[_KEYS].combine_chunks()
    if not np.array_equal(pc.list_value_length(keys).to_numpy(), counts):
        raise InputError(
            f"{path} is damaged: expected the keys of as many observations as "
            "are counted. Encode its observations again."
        )
    vectors = {
        name: table[name].combine_chunks().flatten().to_numpy()
        for name in _VECTORS
    }
    dim = table.schema.field("loc").type.list_size
    return Contents(
        columns.as_array(table["group"]),
        counts,
        {name: vector.reshape(-1, dim) for name, vector in vectors.items()},
        keys.flatten().to_numpy(),
        about,
    )


def _schema(id_type: pa.DataType, dim: int) -> pa.Schema:
    types = {"group": id_type, "count": pa.int64()}
    types |= dict.fromkeys(_VECTORS, pa.list_(pa.float64(), dim))
    types[_KEYS] = pa.large_list(pa.uint64())
    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in types.items()]
    )


def _about(schema: pa.Schema, path: pathlib.Path) -> dict[str, str]:
    """Model and rule, if it is the schema of such a table."""
    try:
        about = json.loads(schema.metadata[_METADATA])
        about = {name: str(about[name]) for name in ("rule", "model")}
        dim = schema.field("precision").type.list_size
        ids = schema.field("group").type
        expected = _schema(ids, dim)
        ours = ids in (pa.int64(), pa.string())
    except (TypeError, KeyError, ValueError, AttributeError):
        ours = False
    if ours and schema.equals(expected.remove(len(expected) - 1)):
        raise InputError(
            f"{path} is of version 0.1.0, whose tables do not say which "
            "observations they have. Encode its observations again."
        )
    if not ours or not schema.equals(expected):
        raise InputError(
            f"{path} is no store of encode.py: expected group, count, "
            f"{', '.join(_VECTORS)}, {_KEYS} and the identity of their model: "
            f"got {', '.join(schema.names[:8]) or 'no columns'}."
        )
    return about
