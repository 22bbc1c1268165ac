"""What `fit` and its like are given: batches, and what yields them."""

from __future__ import annotations

import collections.abc
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf.checks import Shape, as_float32, check_shapes, numbered
from mlvae_tf.errors import InputError
from mlvae_tf.replicas import Replicas


def unpack(data: Any) -> tuple[Any, Any]:
    """Observations and group ids of a batch as Keras hands it over."""
    if isinstance(data, tuple):
        data, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        if targets is not None or weights is not None:
            raise InputError(
                "there are no targets and no sample weights: pass one dict of "
                "observations and group_ids."
            )
    if not isinstance(data, dict) or not {"observations", "group_ids"} <= set(
        data
    ):
        got = ", ".join(data) if isinstance(data, dict) else type(data).__name__
        raise InputError(
            'expected batches {"observations": [N, ...], "group_ids": [N]}: '
            f"got {got}."
        )
    return data["observations"], data["group_ids"]


def whole_ids(data: Any) -> tf.Tensor | None:
    """`[N]` numbers: of which group each observation's is a piece, if said.

    Batches may have them where a large group is cut into several.
    """
    batch = data[0] if isinstance(data, tuple) else data
    return batch.get("whole_ids")


def share(data: Any) -> tf.Tensor | None:
    """From which row to which of the batch the observations are, if not all."""
    batch = data[0] if isinstance(data, tuple) else data
    return batch.get("share")


def shared(data: Any, replicas: Replicas) -> Any:
    """Batches of which a worker has its share of the observations.

    Args:
        data: Whole batches, the same with all workers, or shares of them:
            these have `share`, from which row to which they go.
        replicas: The workers.

    Raises:
        InputError: If they cannot be divided.
    """
    if replicas.count == 1:
        return data
    if not isinstance(data, tf.data.Dataset):
        raise InputError(
            "several workers take a tf.data.Dataset, the same with each: got "
            f"{type(data).__name__}."
        )
    if "share" in data.element_spec:
        return data
    if isinstance(data.element_spec["observations"], tf.data.DatasetSpec):
        raise InputError(
            "batches in chunks cannot be divided among workers: give each its "
            'chunks, and "share": [from row, to row].'
        )

    def cut(batch: dict[str, Any]) -> dict[str, Any]:
        observations = batch["observations"]
        start, stop = replicas.share(tf.shape(observations)[0])
        own = observations[start:stop]
        return {**batch, "observations": own, "share": tf.stack([start, stop])}

    return data.map(cut)


def prepared_batch(data: Any, observation_shape: Shape) -> dict[str, Any]:
    """A batch of arrays, checked; its ids as numbers, which Keras can hold.

    Args:
        data: A dict of observations and group ids, or a tuple of it alone.
        observation_shape: What the model was built for.
    """
    observations, group_ids = unpack(data)
    observations, group_ids = np.asarray(observations), numbered(group_ids)
    if observations.dtype == np.float64:
        as_float32(observations)
    check_shapes(observations, observation_shape, group_ids)
    return {"observations": observations, "group_ids": group_ids}


class _PreparedDataset(keras.utils.PyDataset):
    """Another dataset's batches, each prepared."""

    def __init__(
        self, dataset: keras.utils.PyDataset, observation_shape: Shape
    ) -> None:
        super().__init__(
            dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size
        )
        self._dataset, self._shape = dataset, observation_shape

    @property
    def num_batches(self) -> int | None:
        return self._dataset.num_batches

    def __getitem__(self, index: int) -> dict[str, Any]:
        return prepared_batch(self._dataset[index], self._shape)

    def on_epoch_begin(self) -> None:
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._dataset.on_epoch_end()


def prepare(data: Any, observation_shape: Shape) -> Any:
    """Check what `fit` was given before Keras does, and number its ids.

    Keras can batch and convert numbers only. What it would not convert, such
    as a `tf.data.Dataset`, is checked batch by batch within the graph.

    Args:
        data: A dict of arrays, or what yields such batches.
        observation_shape: What the model was built for.
    """
    if isinstance(data, (dict, tuple)):
        return prepared_batch(data, observation_shape)
    if isinstance(data, keras.utils.PyDataset):
        return _PreparedDataset(data, observation_shape)
    if isinstance(data, collections.abc.Iterator):
        # Keras wants tuples of a generator.
        return ((prepared_batch(part, observation_shape),) for part in data)
    if isinstance(data, tf.data.Dataset):
        return without_autotuning(data)
    return data


def without_autotuning(data: tf.data.Dataset) -> tf.data.Dataset:
    """A dataset whose iterators end at once, unless its options say otherwise.

    The thread that tunes one sleeps twice as long every time, up to a minute,
    and who destroys the iterator may wait for it to wake.
    """
    options = tf.data.Options()
    if data.options().autotune.enabled is None:
        options.autotune.enabled = False
    return data.with_options(options)


def rest(
    data: Any, initial_step: int, steps_per_epoch: int | None, at_once: int
) -> Any:
    """Batches that come after the first steps of an epoch, for Keras's `fit`.

    Args:
        data: The batches.
        initial_step: How many steps of the epoch were taken before.
        steps_per_epoch: Steps of a whole epoch.
        at_once: Steps between two returns to Python.

    Returns:
        The batches; if they are not all, of a number that Keras does not know:
        it would count the steps that were taken before as theirs.

    Raises:
        InputError: If Keras could not go on from there.
    """
    if not initial_step:
        return data
    is_dataset = isinstance(data, tf.data.Dataset)
    within = 0 < initial_step < (steps_per_epoch or 0)
    if not is_dataset or not within or initial_step % at_once:
        raise InputError(
            "initial_step needs a tf.data.Dataset, steps_per_epoch beyond it, "
            "and to be a multiple of steps_per_execution: got "
            f"initial_step={initial_step}, {type(data).__name__}, "
            f"steps_per_epoch={steps_per_epoch}, steps_per_execution={at_once}."
        )
    return data.filter(lambda batch: True)


def refuse(given: dict[str, Any], method: str, advice: str) -> None:
    """Raise `InputError` where an argument that Keras knows is given."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise InputError(f"{method} takes no {names[0]} here. {advice}")


def check_arguments(method: str, y: Any, kwargs: dict[str, Any]) -> None:
    """Raise `InputError` on what Keras would ignore, or fail on later."""
    names = "sample_weight", "class_weight"
    given = {"y": y} | {name: kwargs.get(name) for name in names}
    if kwargs.get("validation_split"):
        given["validation_split"] = kwargs["validation_split"]
    refuse(
        given,
        method,
        "A batch is one dict of observations and group_ids, all of which count "
        "alike: leave out, or repeat, what is to count otherwise, and pass "
        "held-out observations as validation_data.",
    )
