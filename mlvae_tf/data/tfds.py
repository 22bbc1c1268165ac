"""`tfds:NAME`: a dataset of TensorFlow Datasets."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import requests
import tensorflow as tf

from mlvae_tf.config import DataConfig
from mlvae_tf.data.grouping import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError


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


def _read(
    dataset: tf.data.Dataset, features: tuple[str, str], image: Any
) -> GroupedData:
    observation, group = features
    dataset = dataset.map(
        lambda example: (image(example[observation]), example[group]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    batches = list(dataset.batch(512).as_numpy_iterator())
    observations, group_ids = map(np.concatenate, zip(*batches))
    if group_ids.dtype == object:
        group_ids = np.array([name.decode() for name in group_ids])
    return GroupedData.of(observations, group_ids)


def _image(size: int | None, colors: str | None) -> Any:
    """What to do to every image; the rest of the observations stay as is."""

    def convert(pixels: tf.Tensor) -> tf.Tensor:
        if colors == "grey" and pixels.shape[-1] == 3:
            pixels = tf.image.rgb_to_grayscale(pixels)
        if colors == "rgb" and pixels.shape[-1] == 1:
            pixels = tf.image.grayscale_to_rgb(pixels)
        if size:
            resized = tf.image.resize(
                pixels, (size, size), "lanczos3", antialias=True
            )
            pixels = tf.cast(tf.clip_by_value(resized + 0.5, 0, 255), tf.uint8)
        return pixels

    return convert


def load(name: str, config: DataConfig) -> Source:
    """The splits `train` and, if there is one, `test`."""
    import tensorflow_datasets as tfds

    os.environ.setdefault("NO_GCE_CHECK", "true")
    builder = _builder(name)
    features = config.observation_feature, config.group_feature
    for flag, feature in zip(("observation", "group"), features):
        if feature not in builder.info.features:
            raise InputError(
                f"--{flag}_feature must be a feature of tfds:{name}, one of "
                f"{', '.join(sorted(builder.info.features))}: got {feature!r}."
            )
    _require_data(builder, name)
    splits = {}
    for split in ("train", "test"):
        if split not in builder.info.splits:
            continue
        try:
            splits[split] = _read(
                tfds.load(name, split=split),
                features,
                _image(config.image_size, config.colors),
            )
        except tf.errors.InvalidArgumentError:
            raise InputError(
                f"the images of tfds:{name} differ in size. Pass "
                "--image_size, such as 64."
            ) from None
    if "train" not in splits:
        raise InputError(
            f"tfds:{name} has no split train: got "
            f"{', '.join(builder.info.splits)}."
        )
    return Source(**splits)
