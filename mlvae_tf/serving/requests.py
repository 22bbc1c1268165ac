"""What a signature gets and gives, checked within its graph, with words.

A server in another language looks at the types of what it is sent, not at the
shapes: those are checked here too.
"""

from __future__ import annotations

import tensorflow as tf

from mlvae_tf import checks, guards
from mlvae_tf.evidence import Evidence
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.serving.inputs import OWN, Inputs, Specs, Tensors

Found = list[tf.Operation]

_EVIDENCE = "expected {}: got {}. One row of each is of one group."


def check_request(
    given: Tensors, inputs: Inputs, likelihood: Likelihood, may_be_empty: bool
) -> Tensors:
    """What a client gave, once it has passed.

    Args:
        given: By name.
        inputs: What the signature takes.
        likelihood: Which values observations may have.
        may_be_empty: Whether there may be no observation.

    Returns:
        The same, which no computation sees before.
    """
    observations = inputs.observations.values()
    specs = inputs.specs
    found = [_require_shape(name, given[name], specs[name]) for name in given]
    given = _after(found, given)
    found = _require_rows(given, inputs)
    if not may_be_empty:
        found += [_require_some(given[name]) for name in observations]
    given = _after(found, given)
    given |= {
        name: guards.assert_values(given[name], likelihood, name)
        for name in observations
    }
    return _after(_require_numbers(given, inputs), given)


def check_answer(answer: Tensors) -> Tensors:
    """What is answered, once it is known to be finite."""
    found = [
        guards.require_valid(
            part,
            tf.math.is_finite(part),
            f"{name}, which the model computed, must be finite",
            "rows",
            "What was given is beyond what the model can compute with",
        )
        for name, part in answer.items()
        if part.dtype.is_floating and part.shape.rank
    ]
    return _after(found, answer)


def _after(found: list[Found], given: Tensors) -> Tensors:
    waited = [check for checks_ in found for check in checks_]
    return {name: guards.after(waited, part) for name, part in given.items()}


def _require_shape(name: str, given: tf.Tensor, spec: tf.TensorSpec) -> Found:
    # Compared as text: TensorFlow believes the signature of numbers of axes,
    # and so does `tf.shape`.
    shape = tf.raw_ops.Shape(input=given)
    shape = tf.strings.format("{}", shape, summarize=-1)  # All of it.
    sizes = (r"\d+" if size is None else str(size) for size in spec.shape)
    good = tf.strings.regex_full_match(shape, rf"\[{' '.join(sizes)}\]")
    expected = checks.shape_text(tuple(spec.shape))
    advice = "assets/model.json beside the model says what it takes"
    return guards.require(
        good,
        lambda: guards.text(checks.WRONG_SHAPE, name, expected, shape, advice),
    )


def _require_rows(given: Tensors, inputs: Inputs) -> list[Found]:
    """One id per observation, one style per content, evidence in two parts."""
    specs = inputs.specs
    found = [
        _require_ids(name, given[name], given[inputs.observations[OWN]])
        for name in inputs.ids.values()
    ]
    latents = tuple(inputs.latents.values())
    found.append(_require_as_many(given, specs, latents, checks.LATENTS))
    found += [
        _require_as_many(given, specs, names, _EVIDENCE)
        for names in inputs.evidence.values()
        if specs[names.precision].shape.rank > 1
    ]
    return found


def _require_ids(name: str, ids: tf.Tensor, observations: tf.Tensor) -> Found:
    given, rows = _count(ids), _count(observations)
    return guards.require(
        given == rows,
        lambda: guards.text(checks.LENGTHS, name, given, rows, name, rows),
    )


def _require_as_many(
    given: Tensors, specs: Specs, names: tuple[str, ...], words: str
) -> Found:
    """As many rows of each of these inputs."""
    if not names:
        return []
    expected = (
        f"{name} {checks.shape_text(tuple(specs[name].shape))}"
        for name in names
    )
    shapes = [tf.raw_ops.Shape(input=given[name]) for name in names]
    return guards.require(
        tf.reduce_all([shape[0] == shapes[0][0] for shape in shapes]),
        lambda: guards.text(
            words,
            " and ".join(expected),
            tf.strings.format(
                " and ".join(["{}"] * len(names)), shapes, summarize=-1
            ),
        ),
    )


def _count(rows: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.Shape(input=rows)[0]


def _require_some(observations: tf.Tensor) -> Found:
    good = _count(observations) > 0
    return guards.require(good, lambda: guards.text(checks.NOTHING))


def _require_numbers(given: Tensors, inputs: Inputs) -> list[Found]:
    """Latents are finite; evidence is what evidence can be."""
    found = [
        guards.require_valid(
            given[name],
            tf.math.is_finite(given[name]),
            f"{name} must be finite",
            "rows",
            "Remove or repair those rows",
        )
        for name in inputs.latents.values()
    ]
    for names in inputs.evidence.values():
        found += _require_evidence(given, names)
    return found


def _require_evidence(given: Tensors, names: Evidence) -> list[Found]:
    precision, weighted_loc = (given[name] for name in names)
    finite = tf.math.is_finite
    advice = "Pass what accumulate or infer_groups gave, zeros for a new group"
    unit = "groups" if precision.shape.rank == 2 else "dimensions"
    return [
        guards.require_valid(
            precision,
            finite(precision) & (precision >= 0),
            f"{names.precision} must be finite and not negative",
            unit,
            advice,
        ),
        guards.require_valid(
            weighted_loc,
            finite(weighted_loc) & ((precision > 0) | (weighted_loc == 0)),
            f"{names.weighted_loc} must be finite, and 0 where "
            f"{names.precision} is 0",
            unit,
            advice,
        ),
    ]
