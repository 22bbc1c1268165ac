"""What is served: functions of tensors, named and called as served."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import batches, control, evidence, guards, rounding
from mlvae_tf.batches import SegmentIds
from mlvae_tf.comparison import log_ratio
from mlvae_tf.evidence import Evidence
from mlvae_tf.latents import Groups, Latents, Totals
from mlvae_tf.levels import Level
from mlvae_tf.serving import inputs
from mlvae_tf.serving.inputs import IMAGES, OWN, Called, Specs, Tensors
from mlvae_tf.serving.pictures import are_pictures, decode
from mlvae_tf.serving.requests import check_answer, check_request
from mlvae_tf.serving.tracing import TracedOnce

NAMES = (
    "encode",
    "encode_images",
    "infer_groups",
    "accumulate",
    "decode",
    "reconstruct",
    "swap",
    "identify",
)
_OF_EVIDENCE = ("accumulate", "identify")  # What averages do not have.
# What they say of a row is of that row alone.
BY_ROW = ("encode", "encode_images", "decode")


def _names(model: control.HasCodec, pictures: bool) -> tuple[str, ...]:
    lacking: set[str] = set()
    # Averaged contents are of no evidence that could be stored.
    if any(level.accumulation == "average" for level in model.codec.levels):
        lacking.update(_OF_EVIDENCE)
    if not (pictures and are_pictures(model.codec.observation_shape)):
        lacking.add("encode_images")
    return tuple(name for name in NAMES if name not in lacking)


def _by_name(
    function: Callable[[Signatures, Tensors], Tensors],
) -> Callable[..., Tensors]:
    """A signature's function, whose tensors come by name or in their order."""

    @functools.wraps(function)
    def called(self: Signatures, *tensors: Any, **named: Any) -> Tensors:
        given = dict(zip(self.spec(function.__name__), tensors))
        return function(self, given | named)

    return called


class Signatures:
    """The served functions of a model.

    The answers about groups hold `num_groups`, a number without an axis: a
    server that batches the requests of several clients, and would make one
    group of theirs, refuses an answer that it cannot divide. With several
    levels it is that of the first.

    Args:
        model: The model.
        pictures: Whether its observations are pictures of eight bits.

    Attributes:
        names: Those that are served, `serving_default` aside.
    """

    def __init__(self, model: control.HasCodec, pictures: bool = False) -> None:
        self.names = _names(model, pictures)
        self._codec = TracedOnce.of(model.codec)
        self._model = types.SimpleNamespace(codec=self._codec)
        self._inputs = inputs.of_signatures(self._codec)
        self._called = Called.by_level(self._codec.levels)

    def spec(self, name: str) -> Specs:
        """The inputs of a signature, in their order."""
        return self._inputs[name].specs

    def endpoint(self, name: str) -> Callable[..., Tensors]:
        """A signature as it is served: it checks what it gets and gives."""
        function, taken = getattr(self, name), self._inputs[name]

        def checked(*tensors: tf.Tensor) -> Tensors:
            given = check_request(
                dict(zip(taken.specs, tensors, strict=True)),
                taken,
                self._codec.likelihood,
                may_be_empty=name in BY_ROW,
            )
            return check_answer(function(**given))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(key, kind) for key in taken.specs]
        # By which TensorFlow names the inputs.
        checked.__signature__ = inspect.Signature(parameters)  # type: ignore
        return checked

    def propose(self, observations: tf.Tensor) -> Any:
        """The `loc` and `scale` that each proposes for its group's content.

        With several levels, a pair for each that the decoder reads, by name.
        """
        latents = self._codec.propose(self._cast(observations)).latents
        found = {name: (q.loc, q.scale) for name, q in latents.items()}
        return found if len(self._called) > 1 else found.popitem()[1]

    def _cast(self, observations: tf.Tensor) -> tf.Tensor:
        return tf.cast(observations, self._codec.dtype)

    def encode(self, observations: tf.Tensor) -> Tensors:
        """One row per observation, so that a server may batch."""
        encoded = self._codec.encode(self._cast(observations))
        style = encoded.pop(self._codec.style.name)
        answers = [
            _normal(self._called[name].latent, q) for name, q in encoded.items()
        ]
        if self._codec.style.dim:
            answers.append(_normal(self._codec.style.name, style))
        return _served(*answers)

    def encode_images(self, images: tf.Tensor) -> Tensors:
        """The same of pictures, each a PNG or JPEG file."""
        likelihood = self._codec.likelihood
        pixels = decode(images, self._codec.observation_shape)
        values = likelihood.values(pixels)
        return self.encode(guards.assert_values(values, likelihood, IMAGES))

    def _ids(self, given: Tensors) -> Tensors:
        """By level, the ids of a request's groups."""
        return {name: given[words.ids] for name, words in self._called.items()}

    def _number(self, given: Tensors) -> SegmentIds:
        """By level, the group of each observation of a request."""
        return batches.number(self._ids(given), self._codec.parents)

    def _heard(
        self, observations: tf.Tensor, segment_ids: SegmentIds
    ) -> SegmentIds:
        """The segment ids, -1 where no value is known."""
        known = self._codec.likelihood.known(observations)
        if known is None:
            return segment_ids
        return {k: tf.where(known, v, -1) for k, v in segment_ids.items()}

    def _evidence(
        self, latents: Latents, heard: SegmentIds, size: int | tf.Tensor
    ) -> dict[str, Evidence]:
        """By level, what is said of its groups, float64 `[size, dim]`."""
        found = {}
        for name, proposed in latents.items():
            parts = evidence.from_normal(proposed.loc, proposed.scale)
            parts = evidence.cast(parts, tf.float64)
            found[name] = evidence.accumulate(parts, heard[name], size)
        return found

    def _posterior(self, name: str, groups: Groups) -> Tensors:
        """What is answered of a level's groups, whatever else is asked."""
        return _normal(self._called[name].latent, groups.posteriors[name])

    @_by_name
    def infer_groups(self, given: Tensors) -> Tensors:
        """The latent of every group, and its observations' evidence."""
        codec = self._codec
        observations = self._cast(given["observations"])
        segment_ids = self._number(given)
        latents = codec.propose(observations).latents
        size = batches.most_groups(segment_ids)
        totals = codec.evidence(observations, latents, segment_ids, size)
        groups = codec.groups(totals, segment_ids)
        heard = self._heard(observations, segment_ids)
        said = self._evidence(latents, heard, size)
        answers = [_num_groups(batches.num_groups(segment_ids))]
        for name, ids in self._ids(given).items():
            prefix = self._called[name].prefix
            answers.append(
                {f"{prefix}groups": _of_groups(ids, segment_ids[name])}
            )
            of_rows = {f"{prefix}count": _counts(heard[name], size)}
            of_rows |= self._posterior(name, groups)
            if name in said:
                of_rows |= dict(zip(self._called[name].evidence, said[name]))
            if name in groups.outer:
                parent = tf.cast(groups.outer[name], tf.int64)
                of_rows[f"{prefix}parent"] = parent
            count = tf.reduce_max(segment_ids[name]) + 1
            answers.append({key: v[:count] for key, v in of_rows.items()})
        return _served(*answers)

    @_by_name
    def accumulate(self, given: Tensors) -> Tensors:
        """Add observations to a stored group; zeros for a new one.

        They are of one group on every level.
        """
        observations = self._cast(given["observations"])
        latents = self._codec.propose(observations).latents
        zeros = tf.zeros(tf.shape(observations)[:1], tf.int32)
        heard = self._heard(observations, dict.fromkeys(latents, zeros))
        answers: list[Tensors] = []
        totals: Totals = {}
        for name, new in self._evidence(latents, heard, 1).items():
            parts = self._called[name].evidence
            stored = Evidence(*(given[part] for part in parts))
            total = rounding.update(stored, evidence.total(new))
            answers.append(dict(zip(parts, total)))
            one = Evidence(*(part[tf.newaxis] for part in total))
            totals[name] = evidence.cast(one, tf.float64)
        one_group = dict.fromkeys(self._called, tf.zeros(1, tf.int32))
        groups = self._codec.groups(totals, one_group)
        for name in self._called:
            normal = self._posterior(name, groups)
            answers.append({key: part[0] for key, part in normal.items()})
        return _served(*answers, _num_groups(1))

    @_by_name
    def decode(self, given: Tensors) -> Tensors:
        """The likelihood's mean."""
        codec = self._codec
        latents = {
            name: tf.cast(given[key], codec.dtype)
            for name, key in self._inputs["decode"].latents.items()
        }
        if not codec.style.dim:
            rows = tf.shape(next(iter(latents.values())))[0]
            latents[codec.style.name] = tf.zeros((rows, 0), codec.dtype)
        parameters = codec.decode(latents)
        mean = codec.likelihood.distribution(parameters).mean()
        return _served({"observations": mean})

    @_by_name
    def reconstruct(self, given: Tensors) -> Tensors:
        """Each observation from its groups' latents and its own style."""
        means = control.reconstruct(
            self._model, given["observations"], self._ids(given)
        )
        count = batches.num_groups(self._number(given))
        return _served({"observations": means}, _num_groups(count))

    @_by_name
    def swap(self, given: Tensors) -> Tensors:
        """One group's content in the style of other observations.

        With several levels, one group's of each. Without a style, one answer.
        """
        taken = self._inputs["swap"].observations
        contents = {
            level.name: given[taken[level.name]] for level in self._codec.drawn
        }
        if OWN in taken:
            style = given[taken[OWN]]
        else:  # Of one row, of which nothing is read.
            style = next(iter(contents.values()))[:1]
        means = control.combine(self._model, contents, style)
        return _served({"observations": means}, _num_groups(1))

    @_by_name
    def identify(self, given: Tensors) -> Tensors:
        """How much likelier each is of each stored group than of another.

        In nats, `[N, G]`, by `comparison.log_ratio`.
        """
        observations = self._cast(given["observations"])
        known = self._codec.likelihood.known(observations)
        latents = self._codec.propose(observations).latents
        answers, counts = {}, []
        for level in self._codec.drawn:
            words, proposed = self._called[level.name], latents[level.name]
            scale = proposed.scale
            if known is not None:
                infinity = tf.constant(float("inf"), scale.dtype)
                scale = tf.where(known[:, tf.newaxis], scale, infinity)
            asked = evidence.from_normal(proposed.loc, scale)
            stored = Evidence(*(given[part] for part in words.evidence))
            counts.append(tf.shape(stored.precision)[0])
            answers[f"{words.prefix}scores"] = _log_ratios(
                self._in_units(asked, level), self._in_units(stored, level)
            )
        return _served(answers, _num_groups(counts[0]))

    def _in_units(self, said: Evidence, level: Level) -> Evidence:
        """The same of a latent with the prior N(0, I), float64."""
        said = evidence.cast(said, tf.float64)
        if not level.parent:
            return said
        variance = self._codec.prior_variance(level, tf.float64)
        return Evidence(
            said.precision * variance, said.weighted_loc * tf.sqrt(variance)
        )


def _log_ratios(asked: Evidence, stored: Evidence) -> tf.Tensor:
    """`[N, G]`, one row at a time: memory does not grow with both numbers."""
    return tf.map_fn(
        lambda one: log_ratio(Evidence(*one), stored),
        tuple(asked),
        fn_output_signature=tf.TensorSpec((None,), tf.float64),
    )


def _served(*parts: Tensors) -> Tensors:
    """An answer of these parts."""
    return {
        name: tf.cast(part, tf.float32) if part.dtype.is_floating else part
        for name, part in inputs.distinct(*parts).items()
    }


def _num_groups(count: int | tf.Tensor) -> Tensors:
    return {"num_groups": tf.cast(count, tf.float32)}


def _normal(latent: str, normal: tfd.Normal) -> Tensors:
    return {f"{latent}_loc": normal.loc, f"{latent}_scale": normal.scale}


def _counts(segment_ids: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """How many observations each group has, int64."""
    ones = tf.ones_like(segment_ids, tf.int64)
    return tf.math.unsorted_segment_sum(ones, segment_ids, size)


def _of_groups(group_ids: tf.Tensor, segment_ids: tf.Tensor) -> tf.Tensor:
    """The id of each group: that of its first observation."""
    count = tf.reduce_max(segment_ids) + 1
    places = tf.range(tf.size(segment_ids))
    first = tf.math.unsorted_segment_min(places, segment_ids, count)
    return tf.gather(group_ids, first)
