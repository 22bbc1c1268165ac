"""`tfds:NAME`: a dataset of TensorFlow Datasets."""

from __future__ import annotations

import bisect
import os
from typing import Any

import numpy as np
import requests
import tensorflow as tf
from google.protobuf.message import DecodeError
from PIL import Image

from mlvae_tf import progress
from mlvae_tf.data import images
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import by_level
from mlvae_tf.data.observations import DamagedError, Encoded
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError

# Bytes around a record of a TFRecord file: its length and two checksums.
_HEADER, _FOOTER = 12, 4
DEFAULT = ("label",)  # What names the group.


def _builder(name: str) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"tfds:{name} is not in TensorFlow Datasets' catalogue nor "
            f"prepared under TFDS_DATA_DIR ({reason})."
        ) from None
    except (ValueError, AssertionError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"tfds:{name} cannot be opened: {reason}") from None


def _require_data(builder: Any, name: str) -> None:
    """Fail at once, not after minutes of retries, where no download helps."""
    if builder.is_prepared():
        return
    problem = None
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        problem = "has to be downloaded by hand (its catalogue page says how)"
    for url in list(builder.url_infos)[:1]:
        try:
            requests.head(url, timeout=4, allow_redirects=True)
        except requests.RequestException:
            host = url.split("/")[2]
            problem = f"is not on this machine, and {host} cannot be reached"
    if problem:
        raise InputError(
            f"tfds:{name} {problem}. Either prepare it where there is a "
            f"network (tfds build {name}) and copy it to "
            f"{os.path.dirname(builder.data_dir)}; or get the images another "
            "way and pass folder:PATH, npz:PATH or, for MNIST's own files, "
            "idx:PATH."
        )


class _Records(Encoded):
    """A feature of the examples of TFRecord files.

    Args:
        name: The dataset's.
        files: The files of a split.
        offsets: Where each file's records begin, in bytes.
        features: What decodes an example to a dict with the feature.
        config: Which feature, and how to convert images.
    """

    def __init__(
        self,
        name: str,
        files: list[str],
        offsets: list[np.ndarray],
        features: Any,
        config: DataConfig,
    ) -> None:
        self._name = name
        self._files = files
        self._offsets = np.concatenate(offsets)
        self._stops = np.cumsum([len(part) for part in offsets]).tolist()
        self._features = features
        self._config = config
        first = self.decode(0)
        self.shape = (len(self._offsets), *first.shape)
        self.dtype = first.dtype

    def decode(self, row: int) -> np.ndarray:
        config = self._config
        path = self._files[bisect.bisect_right(self._stops, row)]
        offset = int(self._offsets[row])
        try:
            record = _read_record(path, offset)
            example = self._features.deserialize_example_np(record)
        except (OSError, ValueError, SyntaxError, DecodeError) as error:
            raise DamagedError(
                f"tfds:{self._name}: the example at byte {offset} of {path} "
                f"cannot be decoded: {error}. Prepare the dataset again"
            ) from None
        observation = np.asarray(example[config.observation_feature])
        is_image = observation.ndim == 3 and observation.dtype == np.uint8
        if is_image and (config.image_size or config.colors):
            grey = observation.shape[-1] == 1
            image = Image.fromarray(
                observation[..., 0] if grey else observation
            )
            return images.convert(image, config.size, config.colors)
        return observation

    def mismatch(self, row: int, shape: tuple[int, ...]) -> InputError:
        return InputError(
            f"the images of tfds:{self._name} differ in size: the first is "
            f"{self.shape[1:]}, that of row {row} {shape}. Pass --image_size, "
            "such as 64."
        )


def _read_record(path: str, offset: int) -> bytes:
    """One record of a TFRecord file."""
    with open(path, "rb") as file:
        file.seek(offset)
        length = int.from_bytes(file.read(_HEADER)[:8], "little")
        left = os.fstat(file.fileno()).st_size - file.tell()
        if not 0 < length <= left:
            raise ValueError(f"it has {left} bytes left, not {length}")
        return file.read(length)


def _read_index(
    path: str, features: Any, levels: tuple[str, ...]
) -> tuple[np.ndarray, ...]:
    """Where each record of a TFRecord file begins, in bytes, key and groups."""

    def read(record: tf.Tensor) -> tuple[tf.Tensor, ...]:
        example = features.deserialize_example(record)
        return (
            tf.strings.length(record),
            tf.strings.to_hash_bucket_fast(record, 2**63 - 1),
            *(example[name] for name in levels),
        )

    examples = tf.data.TFRecordDataset(path).map(
        read, num_parallel_calls=tf.data.AUTOTUNE
    )
    found = list(examples.batch(4096).as_numpy_iterator())
    lengths, keys, *group_ids = map(np.concatenate, zip(*found))
    sizes = lengths.astype(np.int64) + _HEADER + _FOOTER
    return np.cumsum(sizes) - sizes, keys.astype(np.uint64), *group_ids


def _open(
    builder: Any, name: str, split: str, config: DataConfig
) -> GroupedData:
    import tensorflow_datasets as tfds

    def only(*features: str) -> Any:
        partial = tfds.decode.PartialDecoding(dict.fromkeys(features, True))
        return partial.extract_features(builder.info.features)

    part = builder.info.splits[split]
    files = [
        os.fspath(path)
        for path, length in zip(part.filepaths, part.shard_lengths)
        if length
    ]
    levels = config.groups or DEFAULT
    features = only(*levels)
    listed = progress.track(files, len(files), "indexing")
    found = [_read_index(file, features, levels) for file in listed]
    offsets, keys, *group_ids = zip(*found)
    observations = _Records(
        name, files, offsets, only(config.observation_feature), config
    )
    ids = zip(levels, map(np.concatenate, group_ids))
    return GroupedData.of(
        observations,
        by_level(dict(ids)),
        np.concatenate(keys),
        config.missing_groups,
        config.parent_of,
    )


def load(name: str, config: DataConfig) -> Source:
    """The splits `train` and, if there is one, `test`."""
    import tensorflow_datasets as tfds

    os.environ.setdefault("NO_GCE_CHECK", "true")
    builder = _builder(name)
    named = [("observation_feature", config.observation_feature)]
    named += [("groups", level) for level in config.groups or DEFAULT]
    for flag, feature in named:
        if feature not in builder.info.features:
            raise InputError(
                f"--{flag} must name a feature of tfds:{name}, one of "
                f"{', '.join(sorted(builder.info.features))}: got {feature!r}."
            )
    _require_data(builder, name)
    builder.download_and_prepare()
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise InputError(
            f"tfds:{name} is prepared as {builder.info.file_format.value}: "
            "expected TFRecord files. Prepare it again with: tfds build "
            f"{name} --file_format=tfrecord"
        )
    splits = {}
    for split in ("train", "test"):
        if split not in builder.info.splits:
            continue
        splits[split] = _open(builder, name, split, config)
    if "train" not in splits:
        raise InputError(
            f"tfds:{name} has no split train: got "
            f"{', '.join(builder.info.splits)}."
        )
    return Source.of(splits)
