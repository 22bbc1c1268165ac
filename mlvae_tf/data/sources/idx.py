"""`idx:PATH`: MNIST's four files, gzipped or not."""

from __future__ import annotations

import gzip
import io
import math
import pathlib
import struct
import zlib

import numpy as np

from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError

_MAX_AXES = 8
_SPLITS = {"train": "train", "test": "t10k"}


def _read(path: pathlib.Path) -> np.ndarray:
    """One IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist)."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return _parse(file, str(path))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _parse(file: io.BufferedIOBase, path: str) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:3] != b"\0\0\x08" or head[3] > _MAX_AXES:
        raise InputError(
            f"{path} is no IDX file of unsigned bytes: expected it to begin "
            f"with 00 00 08 and a number of axes up to {_MAX_AXES}, got "
            f"{head.hex(' ') or 'nothing'}."
        )
    sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise InputError(f"{path} is truncated within its header.")
    shape = struct.unpack(f">{head[3]}I", sizes)
    size = math.prod(shape)
    content = _read_most(file, size + 1)
    if len(content) != size:
        got = len(content) if len(content) < size else "more"
        raise InputError(
            f"{path} is truncated or damaged: expected {size} bytes for shape "
            f"{list(shape)}, got {got}."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_most(file: io.BufferedIOBase, size: int) -> bytes:
    """At most so many bytes, whatever a header says that there are."""
    content = bytearray()
    while len(content) < size:
        part = file.read(min(size - len(content), 1 << 24))
        if not part:
            break
        content += part
    return bytes(content)


def _find(folder: pathlib.Path, stem: str) -> pathlib.Path:
    # MNIST's files come as train-images-idx3-ubyte and train-images.idx3-ubyte.
    for path in sorted(folder.glob(f"{stem}[.-]idx*")):
        return path
    raise InputError(
        f"idx:{folder} must hold MNIST's four files: {stem}-idx*-ubyte, "
        "gzipped or not, is missing."
    )


def load(path: str, config: DataConfig) -> Source:
    """The labels are the groups; the test files are the test split."""
    del config
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"idx:{path}: there is no such folder.")
    splits = {}
    for split, prefix in _SPLITS.items():
        images = _read(_find(folder, f"{prefix}-images"))
        labels = _read(_find(folder, f"{prefix}-labels"))
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise InputError(
                f"idx:{path}: expected images [N, height, width] and labels "
                f"[N] in the {prefix} files: got {images.shape} and "
                f"{labels.shape}."
            )
        splits[split] = GroupedData.of(
            images[..., np.newaxis], labels.astype(np.int64)
        )
    return Source.of(splits)
