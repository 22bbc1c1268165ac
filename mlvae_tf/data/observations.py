"""Observations in memory, or on a disk and read as they are asked for.

Both are array-likes with `shape`, `dtype` and `len()`, of which `[rows]`, a
slice or an array of row numbers, gives a NumPy array. In memory they are a
NumPy array; on a disk they are `Stored`, and a subset of them is its row
numbers.
"""

from __future__ import annotations

import abc
import concurrent.futures
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mlvae_tf import progress
from mlvae_tf.errors import InputError

_CHUNK = 4096
_LISTED = 10  # Observations that a message names.
_WORKERS = os.cpu_count() or 1


class Stored(abc.ABC):
    """Observations on a disk.

    Attributes:
        shape: `(N, ...)`.
        dtype: uint8 or float32.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @abc.abstractmethod
    def read(self, rows: np.ndarray) -> np.ndarray:
        """The observations `[n, ...]` of row numbers `[n]`, in their order.

        Raises:
            InputError: If they are damaged.
        """

    def check(self) -> None:
        """Look for what can be found amiss without reading everything.

        Raises:
            InputError: If there is something.
        """
        return

    def unreadable(self) -> dict[int, str]:
        """By row, what is wrong with those that are damaged; reads all."""
        return {}

    def name(self, row: int) -> str:
        """What to call an observation in a message."""
        return f"row {row}"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        return self.read(np.asarray(rows))


Observations = np.ndarray | Stored


class DamagedError(InputError):
    """An observation cannot be decoded: says which, and why."""


class UnreadableError(InputError):
    """Some observations cannot be decoded.

    Args:
        reasons: By row, what is wrong with it, in a sentence without its stop.
        total: How many observations there are.
    """

    def __init__(self, reasons: dict[int, str], total: int) -> None:
        self.reasons = reasons
        listed = "; ".join(list(reasons.values())[:_LISTED])
        more = f"; and {len(reasons) - _LISTED} more" * (len(reasons) > _LISTED)
        super().__init__(
            f"{len(reasons)} of {total} observations cannot be read: "
            f"{listed}{more}. Repair or remove them, or go on without them: "
            "--skip_bad."
        )


class Encoded(Stored):
    """Observations that have to be decoded one by one, in parallel."""

    _pool = concurrent.futures.ThreadPoolExecutor(_WORKERS)

    @abc.abstractmethod
    def decode(self, row: int) -> np.ndarray:
        """One observation, of any shape.

        Raises:
            DamagedError: If it is damaged.
        """

    @abc.abstractmethod
    def mismatch(self, row: int, shape: tuple[int, ...]) -> InputError:
        """What to say of an observation of another shape than the first's."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        decoded = np.empty((len(rows), *self.shape[1:]), self.dtype)

        def fill(place: int, row: int) -> None:
            observation = self.decode(row)
            if observation.shape != self.shape[1:]:
                raise self.mismatch(row, observation.shape)
            decoded[place] = observation

        if self.in_parallel(fill, rows):
            raise UnreadableError(self.unreadable(), len(self))
        return decoded

    def unreadable(self) -> dict[int, str]:
        reasons: dict[int, str] = {}
        for rows in slices(len(self), "looking for damage"):
            numbers = np.arange(rows.start, rows.stop)
            reasons |= self.in_parallel(
                lambda _, row: self.decode(row), numbers
            )
        return reasons

    def in_parallel(
        self, do: Callable[[int, int], Any], rows: np.ndarray
    ) -> dict[int, str]:
        """Do something for every row, which may find it damaged.

        Args:
            do: Called with a place in `rows` and the row there.
            rows: Row numbers `[n]`.

        Returns:
            By row, what `DamagedError` said of it.
        """
        reasons: dict[int, str] = {}

        def work(first: int) -> None:
            for place in range(first, len(rows), _WORKERS):
                try:
                    do(place, int(rows[place]))
                except DamagedError as error:
                    reasons[int(rows[place])] = str(error)

        for _ in self._pool.map(work, range(_WORKERS)):
            pass
        return dict(sorted(reasons.items()))


class _Subset(Stored):
    """Some rows of stored observations."""

    def __init__(self, whole: Stored, rows: np.ndarray) -> None:
        self.whole = whole
        self.rows = rows
        self.shape = (len(rows), *whole.shape[1:])
        self.dtype = whole.dtype

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.whole[self.rows[rows]]

    def name(self, row: int) -> str:
        return self.whole.name(self.rows[row])


class _Joined(Stored):
    """Stored observations, one lot after the other."""

    def __init__(self, parts: list[Observations]) -> None:
        self.parts = parts
        self.stops = np.cumsum([len(part) for part in parts])
        self.shape = (int(self.stops[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def read(self, rows: np.ndarray) -> np.ndarray:
        observations = np.empty((len(rows), *self.shape[1:]), self.dtype)
        belongs = np.searchsorted(self.stops, rows, side="right")
        for index, part in enumerate(self.parts):
            here = belongs == index
            if here.any():
                first = self.stops[index] - len(part)
                observations[here] = part[rows[here] - first]
        return observations

    def name(self, row: int) -> str:
        index = int(np.searchsorted(self.stops, row, side="right"))
        part = self.parts[index]
        row -= int(self.stops[index]) - len(part)
        return part.name(row) if isinstance(part, Stored) else f"row {row}"


class _Mirrored(Stored):
    """Stored images from the other side."""

    def __init__(self, whole: Stored) -> None:
        self.whole = whole
        self.shape = whole.shape
        self.dtype = whole.dtype

    def read(self, rows: np.ndarray) -> np.ndarray:
        return _mirrored(self.whole[rows])

    def name(self, row: int) -> str:
        return self.whole.name(row)


def mirror(images: Observations) -> Observations:
    """Images `[N, height, width, channels]`, left and right exchanged."""
    if isinstance(images, Stored):
        return _Mirrored(images)
    return _mirrored(images)


def _mirrored(images: np.ndarray) -> np.ndarray:
    return images[:, :, ::-1]


def take(observations: Observations, rows: np.ndarray | slice) -> Observations:
    """Some observations; where they are stored, nothing is read.

    Args:
        observations: `[N, ...]`.
        rows: A slice, row numbers `[n]` or a mask `[N]`.
    """
    if isinstance(observations, np.ndarray):
        return observations[rows]
    if isinstance(observations, _Subset):
        return _Subset(observations.whole, observations.rows[rows])
    whole = np.arange(len(observations), dtype=index_dtype(len(observations)))
    return _Subset(observations, whole[rows])


def join(parts: list[Observations]) -> Observations:
    """Concatenate; where some are stored, nothing is read.

    Raises:
        InputError: If their shapes differ.
    """
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise InputError(
            "all observations must have one shape, in training and in test: "
            f"got {' and '.join(map(str, sorted(shapes)))}."
        )
    if len(parts) == 1:
        return parts[0]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) < len(parts):
        return _Joined(parts)
    return np.concatenate(arrays)


def nbytes(observations: Observations) -> int:
    """Bytes of all observations in memory."""
    return math.prod(observations.shape) * observations.dtype.itemsize


def in_memory(observations: Observations) -> np.ndarray:
    """All observations; a bar on stderr shows the progress of a long read."""
    if isinstance(observations, np.ndarray):
        return observations
    read = np.empty(observations.shape, observations.dtype)
    for rows in slices(len(read), "reading"):
        read[rows] = observations[rows]
    return read


def slices(count: int, what: str) -> Iterator[slice]:
    """Cut `count` rows into slices, with a bar if it takes long."""
    starts = range(0, count, _CHUNK)
    for start in progress.track(starts, len(starts), what):
        yield slice(start, min(start + _CHUNK, count))


def index_dtype(count: int) -> type[np.integer]:
    """The smallest signed type that numbers so many, at least int32."""
    return np.int32 if count <= np.iinfo(np.int32).max else np.int64
