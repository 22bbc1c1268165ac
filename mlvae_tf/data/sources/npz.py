"""`npz:PATH`: arrays `observations`, `group_ids` and, optionally, `split`.

`--groups` names others in the place of `group_ids`, one for each level.
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np
from numpy.lib import format as npy

from mlvae_tf.checks import as_float32
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import by_level
from mlvae_tf.data.observations import Observations, Stored, in_memory
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError

_LOCAL_HEADER = 30  # Bytes of a member's header before its name.


class _Member(Stored):
    """An array that lies in the archive as it is, uncompressed.

    It is read, not mapped: mapped pages would count as the process's memory.

    Args:
        path: The archive.
        offset: Where the array's first byte is.
        shape: `(N, ...)`.
        saved: The type that it is saved as.
        shown: The shape that observations are given.
    """

    def __init__(
        self,
        path: str,
        offset: int,
        shape: tuple[int, ...],
        saved: np.dtype,
        shown: tuple[int, ...],
    ) -> None:
        self._path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self._offset = offset
        self._saved_shape = shape[1:]
        self._saved = saved
        self._row_bytes = math.prod(shape[1:]) * saved.itemsize
        self.shape = shown
        self.dtype = np.dtype(np.uint8 if saved == np.uint8 else np.float32)

    def read(self, rows: np.ndarray) -> np.ndarray:
        observations = np.empty((len(rows), *self._saved_shape), self._saved)
        buffer = observations.reshape(-1).view(np.uint8).data
        size = self._row_bytes
        # Consecutive rows are read at once, and all are announced first, so
        # that the disk need not wait for one before it looks for the next.
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        places = self._offset + rows[starts].astype(np.int64) * size
        ends = np.append(starts[1:], len(rows)) * size
        runs = list(
            zip((starts * size).tolist(), ends.tolist(), places.tolist())
        )
        file = self._file.fileno()
        with _readable(self._path):
            for start, end, place in runs:
                os.posix_fadvise(
                    file, place, end - start, os.POSIX_FADV_WILLNEED
                )
            for start, end, place in runs:
                while start < end:
                    count = os.preadv(file, [buffer[start:end]], place)
                    if not count:
                        raise InputError(
                            f"npz:{self._path} has become shorter."
                        )
                    start, place = start + count, place + count
        if self.dtype != np.uint8:
            with _named(self._path):
                observations = as_float32(observations)
        return observations.reshape(len(rows), *self.shape[1:])


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """An `InputError` about values, with the file that has them."""
    try:
        yield
    except InputError as error:
        raise InputError(f"npz:{path}: {error}") from None


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """What goes wrong with the file, as `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # zipfile and NumPy raise of any kind.
        if "allow_pickle" in str(error):
            raise InputError(
                f"npz:{path} holds an array of Python objects, which is never "
                "unpickled. Save numbers or fixed-width strings, such as "
                "group_ids.astype(str)."
            ) from None
        reason = str(error) or type(error).__name__
        raise InputError(f"npz:{path} cannot be read: {reason}") from None


def _open(path: str, config: DataConfig) -> dict[str, Observations]:
    """The arrays; observations too large for the memory are not read."""
    if not pathlib.Path(path).is_file():
        raise InputError(f"npz:{path}: there is no such file.")
    with _readable(path):
        if not zipfile.is_zipfile(path):
            raise InputError(f"npz:{path} is damaged, or no .npz archive.")
        arrays = {}
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                stored = None
                if name == "observations":
                    stored = _member(path, config)
                arrays[name] = archive[name] if stored is None else stored
        return arrays


def _member(path: str, config: DataConfig) -> Stored | None:
    """The observations within the file, where they are more than may be read.

    What is read whole is checked against the archive's checksum as well.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("observations.npy")
        with archive.open(info) as member:
            old = npy.read_magic(member) == (1, 0)
            read = (
                npy.read_array_header_1_0 if old else npy.read_array_header_2_0
            )
            shape, fortran, dtype = read(member)
            header = member.tell()
    size = math.prod(shape) * (1 if dtype == np.uint8 else 4)
    plain = dtype.kind in "uif" and len(shape) > 1
    if not plain or size <= config.memory_gb * 1e9:
        return None
    if info.compress_type != zipfile.ZIP_STORED or fortran:
        raise InputError(
            f"npz:{path}: observations of {size / 1e9:.3g} GB are compressed "
            "or in Fortran order, and cannot be read in part. Save them with "
            "np.savez and in C order, or raise --memory_gb."
        )
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        local = file.read(_LOCAL_HEADER)
    name, extra = (int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
    offset = info.header_offset + _LOCAL_HEADER + name + extra + header
    return _Member(path, offset, shape, dtype, _shown(shape, dtype, config))


def _shown(
    shape: tuple[int, ...], dtype: np.dtype, config: DataConfig
) -> tuple[int, ...]:
    """The shape with an axis for the one channel of grey images."""
    kind = config.kind or ("images" if dtype == np.uint8 else "series")
    return (*shape, 1) if len(shape) == 3 and kind == "images" else shape


def load(path: str, config: DataConfig) -> Source:
    """Observations are uint8 in [0, 255], or numbers that are taken as is.

    `split`, if there, is an array of the strings `train` and `test`.
    """
    arrays = _open(path, config)
    names = config.groups or ("group_ids",)
    if not {"observations", *names} <= arrays.keys():
        raise InputError(
            f"npz:{path} must have the arrays observations and "
            f"{' and '.join(names)}: got "
            f"{', '.join(sorted(arrays)) or 'none'}. Name those of the groups "
            "in --groups."
        )
    observations = arrays["observations"]
    if isinstance(observations, np.ndarray):
        observations = _as_observations(observations, path, config)
    with _named(path):
        data = GroupedData.of(
            observations,
            by_level({name: in_memory(arrays[name]) for name in names}),
            missing=config.missing_groups,
            parents=config.parent_of,
        )
    notes: tuple[str, ...] = ()
    if len(data.observations.shape) == 3:
        _, steps, channels = data.observations.shape
        kind = f"series of {steps} steps and {channels} channels"
        notes = (f"observations are {kind} (grey images: --kind=images)",)
    if "split" not in arrays:
        return Source(data, notes=notes)
    return _split(data, in_memory(arrays["split"]), path, notes)


def _as_observations(
    observations: np.ndarray, path: str, config: DataConfig
) -> np.ndarray:
    if observations.dtype.kind not in "uif" or observations.ndim < 2:
        raise InputError(
            f"npz:{path}: observations must be numbers of shape [N, ...]: got "
            f"shape {observations.shape} of {observations.dtype}."
        )
    if observations.dtype != np.uint8:
        with _named(path):
            observations = as_float32(observations)
    shape = _shown(observations.shape, observations.dtype, config)
    return observations.reshape(shape)


def _split(
    data: GroupedData, split: np.ndarray, path: str, notes: tuple[str, ...]
) -> Source:
    names = set(np.unique(split).tolist())
    if split.shape != data.group_index.shape or not names <= {"train", "test"}:
        raise InputError(
            f"npz:{path}: split must name train or test for every one of the "
            f"{len(data)} observations: got shape {split.shape} with "
            f"{', '.join(map(repr, sorted(names)[:3]))}."
        )
    test = data[split == "test"]
    return Source(data[split == "train"], test if len(test) else None, notes)
