"""The SavedModel: signatures that need TensorFlow alone."""

from __future__ import annotations

import inspect
import pathlib

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import control, evidence, files, rounding
from mlvae_tf.evidence import Evidence

Tensors = dict[str, tf.Tensor]
NAMES = (
    "encode",
    "infer_groups",
    "accumulate",
    "decode",
    "reconstruct",
    "swap",
)


def names(model: control.Model) -> tuple[str, ...]:
    """The signatures that a model has, `serving_default` aside.

    Averaged contents cannot be updated from stored evidence: no `accumulate`.
    """
    if model.codec.levels[0].accumulation == "average":
        return tuple(name for name in NAMES if name != "accumulate")
    return NAMES


class Signatures:
    """The served functions of a model, named and called as served.

    Args:
        model: The model.
    """

    def __init__(self, model: control.Model) -> None:
        self._model, self._codec = model, model.codec
        (self._level,) = model.codec.levels
        shape = (None, *model.codec.observation_shape)
        observations = tf.TensorSpec(shape, tf.float32)
        vector = tf.TensorSpec((self._level.dim,), tf.float32)
        self._specs = {
            "observations": observations,
            "content_observations": observations,
            "style_observations": observations,
            "group_ids": tf.TensorSpec((None,), tf.string),
            "precision": vector,
            "weighted_loc": vector,
            "content": tf.TensorSpec((None, self._level.dim), tf.float32),
            "style": tf.TensorSpec((None, self._codec.style.dim), tf.float32),
        }

    def spec(self, name: str) -> list[tf.TensorSpec]:
        """The inputs of a signature, in the order of its parameters."""
        parameters = inspect.signature(getattr(self, name)).parameters
        return [self._specs[parameter] for parameter in parameters]

    def _encode(
        self, observations: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tfd.Normal]]:
        observations = tf.cast(observations, self._codec.dtype)
        return observations, self._codec.encode(observations)

    def encode(self, observations: tf.Tensor) -> Tensors:
        """One row per observation, so that a server may batch."""
        _, encoded = self._encode(observations)
        content = encoded[self._level.name]
        style = encoded[self._codec.style.name]
        return _served(
            {
                "content_loc": content.loc,
                "content_scale": content.scale,
                "style_loc": style.loc,
                "style_scale": style.scale,
            }
        )

    def _evidence(
        self, observations: tf.Tensor, rows: tf.Tensor, num_groups: tf.Tensor
    ) -> tuple[Evidence, tfd.Normal, tf.Tensor]:
        """What is said of groups, their contents, and how many say it."""
        observations, encoded = self._encode(observations)
        name = self._level.name
        totals = self._codec.evidence(
            observations, encoded, {name: rows}, num_groups
        )
        content = self._level.posterior(totals[name], tf.float64)
        proposed = encoded[name]
        known = self._codec.likelihood.known(observations)
        if known is not None:
            rows = tf.where(known, rows, -1)
        parts = evidence.from_normal(proposed.loc, proposed.scale)
        total = evidence.accumulate(
            evidence.cast(parts, tf.float64), rows, num_groups
        )
        ones = tf.ones_like(rows, tf.int64)
        count = tf.math.unsorted_segment_sum(ones, rows, num_groups)
        return total, content, count

    def infer_groups(
        self, observations: tf.Tensor, group_ids: tf.Tensor
    ) -> Tensors:
        """The content of every group, and its observations' evidence."""
        groups, rows = evidence.index_groups(group_ids)
        num_groups = tf.size(groups)
        total, content, count = self._evidence(observations, rows, num_groups)
        return {
            "groups": groups,
            **_evidence_and_content(total, content),
            "count": count,
        }

    def accumulate(
        self,
        precision: tf.Tensor,
        weighted_loc: tf.Tensor,
        observations: tf.Tensor,
    ) -> Tensors:
        """Add observations to a stored group; zeros for a new one."""
        rows = tf.zeros(tf.shape(observations)[:1], tf.int32)
        new, _, _ = self._evidence(observations, rows, tf.constant(1))
        stored = Evidence(precision, weighted_loc)
        total = rounding.update(stored, evidence.total(new))
        content = self._level.posterior(
            evidence.cast(total, tf.float64), tf.float64
        )
        return _evidence_and_content(total, content)

    def decode(self, content: tf.Tensor, style: tf.Tensor) -> Tensors:
        """The likelihood's mean."""
        latents = {self._level.name: content, self._codec.style.name: style}
        latents = {
            name: tf.cast(part, self._codec.dtype)
            for name, part in latents.items()
        }
        parameters = self._codec.decode(latents)
        mean = self._codec.likelihood.distribution(parameters).mean()
        return _served({"observations": mean})

    def reconstruct(
        self, observations: tf.Tensor, group_ids: tf.Tensor
    ) -> Tensors:
        """Each observation from its group's content and its own style."""
        means = control.reconstruct(self._model, observations, group_ids)
        return _served({"observations": means})

    def swap(
        self, content_observations: tf.Tensor, style_observations: tf.Tensor
    ) -> Tensors:
        """One group's content in the style of other observations."""
        means = control.swap(
            self._model, content_observations, style_observations
        )
        return _served({"observations": means})


def _served(tensors: Tensors) -> Tensors:
    return {name: tf.cast(part, tf.float32) for name, part in tensors.items()}


def _evidence_and_content(total: Evidence, content: tfd.Normal) -> Tensors:
    return _served(
        {
            "precision": total.precision,
            "weighted_loc": total.weighted_loc,
            "content_loc": content.loc,
            "content_scale": content.scale,
        }
    )


def export(model: control.Model, folder: pathlib.Path) -> None:
    """Write a SavedModel with every signature, whole or not at all.

    Args:
        model: The model.
        folder: Where it goes: `NAME/1` is what TensorFlow Serving watches.
    """
    signatures = Signatures(model)
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name in names(model):
        archive.add_endpoint(
            name, getattr(signatures, name), signatures.spec(name)
        )
    archive.add_endpoint(
        "serving_default", signatures.encode, signatures.spec("encode")
    )
    with files.whole(folder) as partial:
        archive.write_out(str(partial), verbose=False)
