"""What is served: functions of tensors, named and called as served."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import control, evidence, rounding
from mlvae_tf.codec import Codec, Proposals
from mlvae_tf.comparison import log_ratio
from mlvae_tf.evidence import Evidence
from mlvae_tf.serving.requests import Tensors, check_answer, check_request

NAMES = (
    "encode",
    "infer_groups",
    "accumulate",
    "decode",
    "reconstruct",
    "swap",
    "identify",
)
_Normals = dict[str, list[tf.Tensor]]  # Loc and scale by level.
_OF_EVIDENCE = ("accumulate", "identify")  # What averages do not have.
BY_ROW = ("encode", "decode")  # What they say of a row is of that row alone.


def names(model: control.Model) -> tuple[str, ...]:
    """The signatures that a model has, `serving_default` aside.

    Averaged contents are of no evidence that could be stored.
    """
    if model.codec.levels[0].accumulation == "average":
        return tuple(name for name in NAMES if name not in _OF_EVIDENCE)
    return NAMES


@dataclasses.dataclass(frozen=True)
class _TracedOnce(Codec):
    """A codec whose networks are traced once for all signatures."""

    @classmethod
    def of(cls, codec: Codec) -> _TracedOnce:
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
            for level in self.levels
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


def traced(function: Callable[..., Any], spec: list[Any]) -> Any:
    """A function's graph: a `tf.function` called or saved is traced twice."""
    graph = tf.function(function, spec, autograph=False)
    return graph.get_concrete_function()


class Signatures:
    """The served functions of a model.

    The answers about groups hold `num_groups`, a number without an axis: a
    server that batches the requests of several clients, and would make one
    group of theirs, refuses an answer that it cannot divide.

    Args:
        model: The model.
    """

    def __init__(self, model: control.Model) -> None:
        self._codec = _TracedOnce.of(model.codec)
        self._model = types.SimpleNamespace(codec=self._codec)
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

    def spec(self, name: str) -> dict[str, tf.TensorSpec]:
        """The inputs of a signature, in the order of its parameters."""
        parameters = inspect.signature(getattr(self, name)).parameters
        specs = {parameter: self._specs[parameter] for parameter in parameters}
        if name == "identify":  # Of many groups, not of one.
            many = tf.TensorSpec((None, self._level.dim), tf.float32)
            specs |= {"precision": many, "weighted_loc": many}
        return specs

    def endpoint(self, name: str) -> Callable[..., Tensors]:
        """A signature as it is served: it checks what it gets and gives."""
        function, spec = getattr(self, name), self.spec(name)

        @functools.wraps(function)
        def checked(*tensors: tf.Tensor) -> Tensors:
            given = check_request(
                dict(zip(spec, tensors, strict=True)),
                spec,
                self._codec.likelihood,
                may_be_empty=name in BY_ROW,
            )
            return check_answer(function(**given))

        return checked

    def propose(self, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The `loc` and `scale` that each proposes for its group's content."""
        observations = tf.cast(observations, self._codec.dtype)
        content = self._codec.propose(observations).latents[self._level.name]
        return content.loc, content.scale

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
            **_num_groups(num_groups),
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
        return {**_evidence_and_content(total, content), **_num_groups(1)}

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
        groups, _ = evidence.index_groups(group_ids)
        return {
            **_served({"observations": means}),
            **_num_groups(tf.size(groups)),
        }

    def swap(
        self, content_observations: tf.Tensor, style_observations: tf.Tensor
    ) -> Tensors:
        """One group's content in the style of other observations."""
        means = control.swap(
            self._model, content_observations, style_observations
        )
        return {**_served({"observations": means}), **_num_groups(1)}

    def identify(
        self,
        observations: tf.Tensor,
        precision: tf.Tensor,
        weighted_loc: tf.Tensor,
    ) -> Tensors:
        """How much likelier each is of each stored group than of another.

        In nats, `[N, G]`, by `comparison.log_ratio`.
        """
        observations, encoded = self._encode(observations)
        proposed = encoded[self._level.name]
        scale = proposed.scale
        known = self._codec.likelihood.known(observations)
        if known is not None:
            infinity = tf.constant(float("inf"), scale.dtype)
            scale = tf.where(known[:, tf.newaxis], scale, infinity)
        asked = evidence.from_normal(proposed.loc, scale)
        stored = evidence.cast(Evidence(precision, weighted_loc), tf.float64)
        # One at a time, so that memory does not grow with both numbers.
        scores = tf.map_fn(
            lambda one: log_ratio(Evidence(*one), stored),
            tuple(evidence.cast(asked, tf.float64)),
            fn_output_signature=tf.TensorSpec((None,), tf.float64),
        )
        return {
            **_served({"scores": scores}),
            **_num_groups(tf.shape(precision)[0]),
        }


def _served(tensors: Tensors) -> Tensors:
    return {name: tf.cast(part, tf.float32) for name, part in tensors.items()}


def _num_groups(count: int | tf.Tensor) -> Tensors:
    return _served({"num_groups": tf.convert_to_tensor(count)})


def _evidence_and_content(total: Evidence, content: tfd.Normal) -> Tensors:
    return _served(
        {
            "precision": total.precision,
            "weighted_loc": total.weighted_loc,
            "content_loc": content.loc,
            "content_scale": content.scale,
        }
    )
