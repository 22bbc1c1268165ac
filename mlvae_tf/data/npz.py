"""`npz:PATH`: arrays `observations`, `group_ids` and, optionally, `split`."""

from __future__ import annotations

import pathlib
import zipfile
import zlib

import numpy as np

from mlvae_tf.config import DataConfig
from mlvae_tf.data.grouping import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError


def _read(path: str) -> dict[str, np.ndarray]:
    if not pathlib.Path(path).is_file():
        raise InputError(f"npz:{path}: there is no such file.")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(f"npz:{path} is damaged, or no .npz archive.")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except InputError:
        raise
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise InputError(f"npz:{path} cannot be read: {error}") from None
        raise InputError(
            f"npz:{path} holds an array of Python objects, which is never "
            "unpickled. Save numbers or fixed-width strings, such as "
            "group_ids.astype(str)."
        ) from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"npz:{path} cannot be read: {error}") from None


def load(path: str, config: DataConfig) -> Source:
    """Observations are uint8 in [0, 255], or numbers that are taken as is.

    `split`, if there, is an array of the strings `train` and `test`.
    """
    del config
    arrays = _read(path)
    missing = {"observations", "group_ids"} - arrays.keys()
    if missing:
        raise InputError(
            f"npz:{path} must have the arrays observations and group_ids: got "
            f"{', '.join(sorted(arrays)) or 'none'}."
        )
    observations = arrays["observations"]
    if observations.dtype.kind not in "uif" or observations.ndim < 2:
        raise InputError(
            f"npz:{path}: observations must be numbers of shape [N, ...]: got "
            f"shape {observations.shape} of {observations.dtype}."
        )
    if observations.dtype != np.uint8:
        observations = observations.astype(np.float32)
    if observations.ndim == 3:  # Images without an axis for their one channel.
        observations = observations[..., np.newaxis]
    data = GroupedData.of(observations, arrays["group_ids"])
    if "split" not in arrays:
        return Source(data)
    return _split(data, arrays["split"], path)


def _split(data: GroupedData, split: np.ndarray, path: str) -> Source:
    names = set(np.unique(split).tolist())
    if split.shape != data.group_ids.shape or not names <= {"train", "test"}:
        raise InputError(
            f"npz:{path}: split must name train or test for every one of the "
            f"{len(data)} observations: got shape {split.shape} with "
            f"{', '.join(map(repr, sorted(names)[:3]))}."
        )
    test = data[split == "test"]
    return Source(data[split == "train"], test if len(test) else None)
