"""Tables of numbers, ids and vectors as files: Parquet, or CSV to read."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mlvae_tf import files
from mlvae_tf.errors import InputError

_CSV = ".csv", ".csv.gz"
_ROW_GROUP = 1 << 16  # Rows that Parquet keeps together.


def ids(groups: np.ndarray) -> pa.Array:
    """A column of group ids, strings or 64-bit integers."""
    kind = pa.string() if groups.dtype.kind == "U" else pa.int64()
    return pa.array(groups, kind)


def as_array(column: pa.ChunkedArray) -> np.ndarray:
    """The group ids in a column."""
    is_string = pa.types.is_string(column.type)
    return np.array(column.to_pylist(), np.str_ if is_string else np.int64)


def vectors(values: np.ndarray, known: np.ndarray | None = None) -> pa.Array:
    """A column of vectors.

    Args:
        values: `[N, dim]`.
        known: bool `[N]`: all numbers of the others are null.
    """
    dim = values.shape[1]
    # Arrow writes vectors that are null themselves, but does not read them.
    mask = None if known is None else np.repeat(~known, dim)
    numbers = pa.array(values.ravel(), mask=mask)
    return pa.FixedSizeListArray.from_arrays(numbers, dim)


@contextlib.contextmanager
def writing(
    path: pathlib.Path, schema: pa.Schema
) -> Iterator[Callable[[pa.Table], None]]:
    """Write a table as its rows come, whole or not at all.

    In a CSV a vector has a column per dimension, NAME_0 and so on, numbers
    have all digits that they need to be read back, null is nothing, and lists
    of any length are left out.

    Args:
        path: Ends in one of `files.TABLES`, which says as what to write.
        schema: Of the table.

    Yields:
        What writes some rows.

    Raises:
        InputError: If the path has another suffix.
    """
    files.check_suffix(path, files.TABLES)
    with files.whole(path) as partial:
        if _is_csv(path):
            with _writing_csv(partial, schema) as write:
                yield write
        else:
            with _writing_parquet(partial, schema) as write:
                yield write


def _is_csv(path: pathlib.Path) -> bool:
    return path.name.lower().endswith(_CSV)


@contextlib.contextmanager
def _writing_csv(
    path: pathlib.Path, schema: pa.Schema
) -> Iterator[Callable[[pa.Table], None]]:
    compression = "gzip" if path.name.lower().endswith(".gz") else None
    wide = _wide(schema.empty_table()).schema
    with (
        pa.output_stream(path, compression=compression) as stream,
        pa_csv.CSVWriter(stream, wide) as writer,
    ):
        yield lambda rows: writer.write_table(_wide(rows))


@contextlib.contextmanager
def _writing_parquet(
    path: pathlib.Path, schema: pa.Schema
) -> Iterator[Callable[[pa.Table], None]]:
    waiting: list[pa.Table] = []

    def write(rows: pa.Table) -> None:
        waiting.append(rows)
        if sum(map(len, waiting)) >= _ROW_GROUP:
            flush()

    def flush() -> None:
        writer.write_table(pa.concat_tables(waiting))
        waiting.clear()

    with pq.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        yield write
        if waiting:
            flush()


def _wide(rows: pa.Table) -> pa.Table:
    columns = {}
    for field in rows.schema:
        column = rows[field.name]
        if pa.types.is_fixed_size_list(field.type):
            for place in range(field.type.list_size):
                name = f"{field.name}_{place}"
                columns[name] = pc.list_element(column, place)
        elif not pa.types.is_large_list(field.type):
            columns[field.name] = column
    return pa.table(columns)


def read(path: pathlib.Path) -> pa.Table:
    """Read a Parquet table.

    Raises:
        InputError: If there is none, or it is damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such table of encode.py.")
    if _is_csv(path):
        raise InputError(
            f"{path} is CSV, which encode.py writes for others to read: a "
            "store that it goes on with is a .parquet table."
        )
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read()
    except Exception as error:  # Arrow raises others too, such as of text.
        raise InputError(
            f"{path} is damaged, or no Parquet table: {error}"
        ) from None
