"""Workers that train one model together: what each tells the others.

Every worker holds the whole model and computes a share of each batch's rows.
All that ties the shares together are sums over rows (`mlvae_tf.elbo`): of
evidence, of the terms of the ELBO, of gradients. Summed over the workers they
are those of the whole batch, so that a group's rows may lie with any of them.
What follows from the sums, each worker computes for itself.
"""

from __future__ import annotations

import dataclasses
import enum
import zlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from mlvae_tf import cluster
from mlvae_tf.cluster import Task
from mlvae_tf.errors import InputError

_GROUP = 1  # All workers are one group of TensorFlow's collective operations.
_LENGTHS = 1 << 26
_DTYPES = tf.float32, tf.float64, tf.int64


class Sum(enum.IntEnum):
    """What is summed; by its number, workers know what belongs together."""

    EVIDENCE = 0
    OF_EVIDENCE = 1  # Its gradient.
    GRADIENTS = 2
    TERMS = 3
    STATES = 4
    EVERYBODY = 5


@dataclasses.dataclass(frozen=True)
class Replicas:
    """A worker among those that train a model; by itself, the only one.

    Attributes:
        count: How many there are.
        index: Which one this is.
    """

    count: int = 1
    index: int = 0

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes, and that counts what all share."""
        return self.index == 0

    def share(self, size: Any) -> tuple[Any, Any]:
        """The rows of a batch that are this worker's: from which to which.

        Args:
            size: Rows of the whole batch, a number or a tensor.
        """
        start = size * self.index // self.count
        return start, size * (self.index + 1) // self.count

    def once(self, value: Any) -> Any:
        """What all workers have alike, and a sum is to have once."""
        return value if self.is_first else tf.zeros_like(value)

    def sum(self, what: Sum, values: Any) -> Any:
        """The sum over all workers, of which no gradient is taken.

        Args:
            what: What the values are.
            values: A nest of tensors, of the same shapes with all workers.
        """
        return values

    def check_alike(self, variables: list[tf.Variable]) -> None:
        """Raise `InputError` unless all workers have the same values."""
        if self.count == 1:
            return
        own = 0
        for variable in variables:
            own = zlib.crc32(variable.numpy().tobytes(), own)
        numbers = tf.constant([own, own**2 % 2**31], tf.int64)
        summed = self.sum(Sum.EVERYBODY, numbers)
        if not tf.reduce_all(summed == self.count * numbers):
            raise InputError(
                "all workers must begin with the same weights at the same "
                "step: some have others. Give all the same settings and seed, "
                "and to go on with a run, a folder that all can read."
            )

    def wait(self) -> None:
        """Wait for all workers to come here."""
        self.sum(Sum.EVERYBODY, tf.zeros([1]))

    def agree(self, states: list[tf.Variable], before: list[tf.Tensor]) -> None:
        """Let states change by the mean of what they changed with all workers.

        Args:
            states: Such as the moving statistics of BatchNormalization.
            before: What they were with all of them before.
        """
        changes = [
            tf.cast(now, "float64") - tf.cast(then, "float64")
            for now, then in zip(states, before, strict=True)
        ]
        if self.count == 1 or not changes:
            return
        changes = self.sum(Sum.STATES, changes)
        for state, then, change in zip(states, before, changes, strict=True):
            state.assign(then + tf.cast(change / self.count, then.dtype))


ALONE = Replicas()


@dataclasses.dataclass(frozen=True)
class Workers(Replicas):
    """Processes, on one machine or many, that `TF_CONFIG` names."""

    strategy: Any = None  # It watches over the connections.

    @classmethod
    def join(cls, task: Task | None = None) -> Workers:
        """Meet the other workers; before TensorFlow computes anything.

        Args:
            task: Which one this is; by default what `TF_CONFIG` says.

        Raises:
            InputError: If `TF_CONFIG` does not name them.
        """
        addresses, index = task or cluster.task()
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return cls(len(addresses), index, strategy)

    def sum(self, what: Sum, values: Any) -> Any:
        leaves = tf.nest.flatten(values)
        summed: dict[int, tf.Tensor] = {}
        for places in _by_dtype(leaves):
            some = [leaves[place] for place in places]
            flat = tf.concat([tf.reshape(one, [-1]) for one in some], axis=0)
            total = self._sum(flat, what)
            parts = tf.split(total, [tf.size(one) for one in some])
            for place, one, part in zip(places, some, parts, strict=True):
                summed[place] = tf.reshape(part, tf.shape(one))
                summed[place].set_shape(one.shape)
        ordered = [summed[place] for place in range(len(leaves))]
        return tf.nest.pack_sequence_as(values, ordered)

    def _sum(self, flat: tf.Tensor, what: Sum) -> tf.Tensor:
        # TensorFlow holds a key to the first dtype and shape that come with it.
        kind = len(_DTYPES) * what + _DTYPES.index(flat.dtype)
        length = tf.size(flat) % _LENGTHS
        return tf.raw_ops.CollectiveReduceV2(
            input=flat,
            group_size=self.count,
            group_key=_GROUP,
            instance_key=kind * _LENGTHS + length,
            ordering_token=[],
            merge_op="Add",
            final_op="Id",  # And no timeout: every one is a thread asleep.
        )


def _by_dtype(leaves: list[tf.Tensor]) -> Iterator[list[int]]:
    """The places of the tensors of each dtype."""
    dtypes = dict.fromkeys(leaf.dtype for leaf in leaves)
    for dtype in dtypes:
        yield [n for n, leaf in enumerate(leaves) if leaf.dtype == dtype]
