"""What a signature gets and gives, checked within its graph, with words.

A server in another language looks at the types of what it is sent, not at the
shapes: those are checked here too.
"""

from __future__ import annotations

import tensorflow as tf

from mlvae_tf import checks, guards
from mlvae_tf.likelihoods import Likelihood

Tensors = dict[str, tf.Tensor]
Specs = dict[str, tf.TensorSpec]
Found = list[tf.Operation]

_ALIKE = (  # Inputs of as many rows.
    ("content", "style", checks.LATENTS),
    (
        "precision",
        "weighted_loc",
        "expected {}: got {}. One row of each is of one group.",
    ),
)


def check_request(
    given: Tensors, spec: Specs, likelihood: Likelihood, may_be_empty: bool
) -> Tensors:
    """What a client gave, once it has passed.

    Args:
        given: By name.
        spec: Of each.
        likelihood: Which values observations may have.
        may_be_empty: Whether there may be no observation.

    Returns:
        The same, which no computation sees before.
    """
    found = [_require_shape(name, given[name], spec[name]) for name in given]
    given = _after(found, given)
    found = [_require_rows(given, spec)]
    if not may_be_empty:
        found += map(_require_some, _observations(given).values())
    given = _after(found, given)
    given |= {
        name: guards.assert_values(part, likelihood, name)
        for name, part in _observations(given).items()
    }
    return _after(_require_numbers(given), given)


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


def _observations(given: Tensors) -> Tensors:
    return {
        name: part
        for name, part in given.items()
        if name.endswith("observations")
    }


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


def _require_rows(given: Tensors, spec: Specs) -> Found:
    """One id per observation, one style per content, evidence in two parts."""
    if "group_ids" in given:
        ids, rows = map(_count, (given["group_ids"], given["observations"]))
        return guards.require(
            ids == rows, lambda: guards.text(checks.LENGTHS, ids, rows, rows)
        )
    for first, second, words in _ALIKE:
        if first in given and spec[first].shape.rank > 1:
            return _require_as_many(given, spec, (first, second), words)
    return []


def _require_as_many(
    given: Tensors, spec: Specs, names: tuple[str, str], words: str
) -> Found:
    expected = (
        f"{name} {checks.shape_text(tuple(spec[name].shape))}" for name in names
    )
    shapes = [tf.raw_ops.Shape(input=given[name]) for name in names]
    return guards.require(
        shapes[0][0] == shapes[1][0],
        lambda: guards.text(
            words,
            " and ".join(expected),
            tf.strings.format("{} and {}", shapes, summarize=-1),
        ),
    )


def _count(rows: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.Shape(input=rows)[0]


def _require_some(observations: tf.Tensor) -> Found:
    good = _count(observations) > 0
    return guards.require(good, lambda: guards.text(checks.NOTHING))


def _require_numbers(given: Tensors) -> list[Found]:
    """Contents and styles are finite; evidence is what evidence can be."""
    finite = tf.math.is_finite
    found = [
        guards.require_valid(
            given[name],
            finite(given[name]),
            f"{name} must be finite",
            "rows",
            "Remove or repair those rows",
        )
        for name in ("content", "style")
        if name in given
    ]
    if "precision" not in given:
        return found
    precision, weighted_loc = given["precision"], given["weighted_loc"]
    evidence = (
        "Pass what accumulate or infer_groups gave, zeros for a new group"
    )
    unit = "groups" if precision.shape.rank == 2 else "dimensions"
    return [
        guards.require_valid(
            precision,
            finite(precision) & (precision >= 0),
            "precision must be finite and not negative",
            unit,
            evidence,
        ),
        guards.require_valid(
            weighted_loc,
            finite(weighted_loc) & ((precision > 0) | (weighted_loc == 0)),
            "weighted_loc must be finite, and 0 where precision is 0",
            unit,
            evidence,
        ),
    ]
