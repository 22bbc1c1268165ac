"""The SavedModel: signatures that need TensorFlow alone."""

from __future__ import annotations

import inspect
import pathlib

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf import control, evidence, workdir
from mlvae_tf.evidence import Evidence
from mlvae_tf.model import MLVAE

tfd = tfp.distributions
Tensors = dict[str, tf.Tensor]
NAMES = (
    "encode",
    "infer_groups",
    "accumulate",
    "decode",
    "reconstruct",
    "swap",
)


def names(model: MLVAE) -> tuple[str, ...]:
    """The signatures that a model has, `serving_default` aside.

    Averaged contents cannot be updated from stored evidence: no `accumulate`.
    """
    if model.accumulation.rule == "average":
        return tuple(name for name in NAMES if name != "accumulate")
    return NAMES


class Signatures:
    """The served functions of a model, named and called as served.

    Args:
        model: The model.
    """

    def __init__(self, model: MLVAE) -> None:
        self._model = model
        shape = (None, *model.observation_shape)
        observations = tf.TensorSpec(shape, tf.float32)
        vector = tf.TensorSpec((model.content_dim,), tf.float32)
        self._specs = {
            "observations": observations,
            "content_observations": observations,
            "style_observations": observations,
            "group_ids": tf.TensorSpec((None,), tf.string),
            "precision": vector,
            "weighted_loc": vector,
            "content": tf.TensorSpec((None, model.content_dim), tf.float32),
            "style": tf.TensorSpec((None, model.style_dim), tf.float32),
        }

    def spec(self, name: str) -> list[tf.TensorSpec]:
        """The inputs of a signature, in the order of its parameters."""
        parameters = inspect.signature(getattr(self, name)).parameters
        return [self._specs[parameter] for parameter in parameters]

    def encode(self, observations: tf.Tensor) -> Tensors:
        """One row an observation, so that a server may batch."""
        content, style = self._model.encode(observations)
        return {
            "content_loc": content.loc,
            "content_scale": content.scale,
            "style_loc": style.loc,
            "style_scale": style.scale,
        }

    def infer_groups(
        self, observations: tf.Tensor, group_ids: tf.Tensor
    ) -> Tensors:
        """The content of every group, and its observations' evidence."""
        groups, segment_ids = evidence.index_groups(group_ids)
        ones = tf.ones_like(segment_ids, tf.int64)
        num_groups = tf.size(groups)
        proposed, _ = self._model.encode(observations)
        content = self._model.accumulation(
            proposed.loc, proposed.scale, segment_ids, num_groups=num_groups
        )
        total = evidence.accumulate(
            evidence.from_normal(proposed.loc, proposed.scale),
            segment_ids,
            num_groups,
        )
        return {
            "groups": groups,
            **_evidence_and_content(total, content),
            "count": tf.math.unsorted_segment_sum(
                ones, segment_ids, num_groups
            ),
        }

    def accumulate(
        self,
        precision: tf.Tensor,
        weighted_loc: tf.Tensor,
        observations: tf.Tensor,
    ) -> Tensors:
        """Add observations to a stored group; zeros for a new one."""
        proposed, _ = self._model.encode(observations)
        new = evidence.from_normal(proposed.loc, proposed.scale)
        stored = Evidence(precision, weighted_loc)
        total = evidence.add(stored, evidence.total(new))
        content = self._model.accumulation.posterior(total)
        return _evidence_and_content(total, content)

    def decode(self, content: tf.Tensor, style: tf.Tensor) -> Tensors:
        """The likelihood's mean."""
        return {"observations": self._model.decode(content, style).mean()}

    def reconstruct(
        self, observations: tf.Tensor, group_ids: tf.Tensor
    ) -> Tensors:
        """Each observation from its group's content and its own style."""
        means = control.reconstruct(self._model, observations, group_ids)
        return {"observations": means}

    def swap(
        self, content_observations: tf.Tensor, style_observations: tf.Tensor
    ) -> Tensors:
        """One group's content in the style of other observations."""
        means = control.swap(
            self._model, content_observations, style_observations
        )
        return {"observations": means}


def _evidence_and_content(total: Evidence, content: tfd.Normal) -> Tensors:
    return {
        "precision": total.precision,
        "weighted_loc": total.weighted_loc,
        "content_loc": content.loc,
        "content_scale": content.scale,
    }


def export(model: MLVAE, folder: pathlib.Path) -> None:
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
    with workdir.whole(folder) as partial:
        archive.write_out(str(partial), verbose=False)
