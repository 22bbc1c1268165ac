"""Networks in the graphs of several signatures, traced once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf.codec import Codec, Proposals

_Normals = dict[str, list[tf.Tensor]]  # Loc and scale by level.


def traced(function: Callable[..., Any], spec: list[Any]) -> Any:
    """A function's graph: a `tf.function` called or saved is traced twice."""
    graph = tf.function(function, spec, autograph=False)
    return graph.get_concrete_function()


@dataclasses.dataclass(frozen=True)
class TracedOnce(Codec):
    """A codec whose networks are traced once for all signatures."""

    @classmethod
    def of(cls, codec: Codec) -> TracedOnce:
        fields = dataclasses.fields(codec)
        return cls(
            **{field.name: getattr(codec, field.name) for field in fields}
        )

    @functools.cached_property
    def _propose(self) -> Any:  # A `ConcreteFunction`.
        observations = tf.TensorSpec(
            (None, *self.observation_shape), self.dtype
        )

        def propose(observations: tf.Tensor) -> tuple[_Normals, tf.Tensor]:
            latents, features = Codec.propose(self, observations)
            normals = {name: [q.loc, q.scale] for name, q in latents.items()}
            return normals, features

        return traced(propose, [observations])

    @functools.cached_property
    def _given_style(
        self,
    ) -> Callable[[tf.Tensor, dict[str, tf.Tensor]], list[tf.Tensor]]:
        _, features = self._propose.structured_outputs
        contents = {
            level.name: tf.TensorSpec((None, level.dim), self.dtype)
            for level in self.drawn
        }

        def given(
            features: tf.Tensor, contents: dict[str, tf.Tensor]
        ) -> list[tf.Tensor]:
            style = Codec.given_style(self, features, contents)
            return [style.loc, style.scale]

        spec = tf.TensorSpec(features.shape, features.dtype)
        return traced(given, [spec, contents])

    @functools.cached_property
    def _decode(self) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
        latents = {
            level.name: tf.TensorSpec((None, level.dim), self.dtype)
            for level in (*self.drawn, self.style)
        }

        def decode(latents: dict[str, tf.Tensor]) -> tf.Tensor:
            return Codec.decode(self, latents)

        return traced(decode, [latents])

    def propose(
        self, observations: tf.Tensor, training: bool = False
    ) -> Proposals:
        del training  # What is served is not trained.
        normals, features = self._propose(observations)
        latents = {name: tfd.Normal(*parts) for name, parts in normals.items()}
        return Proposals(latents, features)

    def given_style(
        self, features: tf.Tensor, contents: dict[str, tf.Tensor]
    ) -> tfd.Normal:
        return tfd.Normal(*self._given_style(features, contents))

    def decode(self, latents: dict[str, tf.Tensor]) -> tf.Tensor:
        return self._decode(latents)
