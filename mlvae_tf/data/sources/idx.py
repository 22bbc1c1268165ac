"""`idx:PATH`: MNIST's four files, gzipped or not."""

from __future__ import annotations

import gzip
import pathlib
import struct
import zlib

import numpy as np

from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError

_SPLITS = {"train": "train", "test": "t10k"}


def _read(path: pathlib.Path) -> np.ndarray:
    """One IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist)."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise InputError(
            f"{path} is no IDX file of unsigned bytes: expected it to begin "
            f"with 00 00 08, got {content[:3].hex(' ') or 'nothing'}."
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise InputError(f"{path} is truncated within its header.")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    size = int(np.prod(shape, dtype=np.int64))
    if len(content) - start != size:
        raise InputError(
            f"{path} is truncated or damaged: expected {size} bytes for shape "
            f"{list(shape)}, got {len(content) - start}."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


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
    return Source(**splits)
