"""What the signatures of a SavedModel say of what they cannot take."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mlvae_tf
from mlvae_tf import serving

KINDS = {
    "plain": {},
    "gaps": {"missing_values": True},
    "counts": {"likelihood": "poisson", "activation": "relu"},
    "real": {"likelihood": "normal", "activation": "relu"},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The signatures of a model of some kind."""
    loaded = {}

    def load(kind):
        if kind not in loaded:
            keras.utils.set_random_seed(0)
            model = mlvae_tf.MLVAE(
                (4, 4, 1), 3, 2, hidden_units=8, **KINDS[kind]
            )
            folder = tmp_path_factory.mktemp(kind) / "1"
            serving.export(model, folder)
            loaded[kind] = tf.saved_model.load(str(folder)).signatures
        return loaded[kind]

    return load


@pytest.fixture
def images(generator):
    return generator.uniform(size=(6, 4, 4, 1)).astype(np.float32)


def with_value(array, value, row=2):
    array = np.array(array, np.float32)
    array.reshape(len(array), -1)[row, -1] = value
    return array


def call(signatures, name, given):
    return signatures[name](**{k: tf.constant(v) for k, v in given.items()})


def assert_refused(signatures, name, given, *said):
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        call(signatures, name, given)
    for words in said:
        assert words in raised.value.message


IDS = np.array(list("aabbcc"))
ZEROS = np.zeros(3, np.float32)
# By name, what there is besides the observations named first.
OTHERS = {
    "encode": ("observations", {}),
    "infer_groups": ("observations", {"group_ids": IDS}),
    "reconstruct": ("observations", {"group_ids": IDS}),
    "accumulate": (
        "observations",
        {"precision": ZEROS, "weighted_loc": ZEROS},
    ),
    "swap": (
        "style_observations",
        {"content_observations": np.zeros((1, 4, 4, 1), np.float32)},
    ),
    "identify": (
        "observations",
        {
            "precision": np.ones((2, 3), np.float32),
            "weighted_loc": np.ones((2, 3), np.float32),
        },
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_values_that_the_likelihood_does_not_take(name, served, images):
    key, others = OTHERS[name]
    signatures = served("plain")
    expected = f"{key} must be numbers in [0, 1] for the Bernoulli likelihood"
    assert_refused(
        signatures,
        name,
        {key: with_value(images, np.nan), **others},
        expected,
        "got NaN or infinite values among values from 0.0",
        "in 1 of 6 observations of the batch, the first at row 2 (nan)",
    )
    assert_refused(
        signatures,
        name,
        {key: 255 * images, **others},
        expected,
        "in 6 of 6 observations of the batch, the first at row 0",
        "Divide 8-bit images by 255",
    )
    call(signatures, name, {key: images, **others})


def test_the_other_observations_of_a_swap(served, images):
    given = {"content_observations": with_value(images, np.inf)}
    assert_refused(
        served("plain"),
        "swap",
        {**given, "style_observations": images},
        "content_observations must be numbers in [0, 1]",
        "the first at row 2 (inf)",
    )


@pytest.mark.parametrize("name", OTHERS)
def test_a_gap_is_no_mistake_where_values_may_be_missing(name, served, images):
    key, others = OTHERS[name]
    answer = call(
        served("gaps"), name, {key: with_value(images, np.nan), **others}
    )
    for value in answer.values():
        if value.dtype.is_floating:
            assert np.isfinite(value).all()
    infinite = {key: with_value(images, np.inf), **others}
    assert_refused(served("gaps"), name, infinite, "or NaN: got NaN or infin")


@pytest.mark.parametrize("value", [-1, 0.5, np.nan])
def test_what_are_no_counts(value, served, images):
    given = {"observations": with_value(np.round(9 * images), value)}
    assert_refused(
        served("counts"),
        "encode",
        given,
        "whole numbers from 0 on, counts: got",
        f"the first at row 2 ({value})",
        *([] if np.isnan(value) else ["Pass the counts themselves"]),
    )


@pytest.mark.parametrize(
    ("precision", "weighted_loc", "said"),
    [
        (-1, 0, "precision must be finite and not negative: got values from"),
        (np.nan, 0, "precision must be finite and not negative: got NaN"),
        (np.inf, 0, "precision must be finite and not negative: got NaN"),
        (1, np.nan, "weighted_loc must be finite, and 0 where precision is 0"),
        (1, -np.inf, "weighted_loc must be finite, and 0 where precision is 0"),
        (0, 1, "weighted_loc must be finite, and 0 where precision is 0"),
    ],
)
def test_what_is_no_evidence(precision, weighted_loc, said, served, images):
    given = {
        "precision": with_value(np.ones(3), precision, 1),
        "weighted_loc": with_value(np.ones(3), weighted_loc, 1),
        "observations": images,
    }
    assert_refused(
        served("plain"),
        "accumulate",
        given,
        said,
        "in 1 of 3 dimensions, the first at row 1",
        "Pass what accumulate or infer_groups gave, zeros for a new group",
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("precision", -1, "precision must be finite and not negative"),
        ("precision", np.nan, "precision must be finite and not negative"),
        ("weighted_loc", np.inf, "weighted_loc must be finite, and 0 where"),
    ],
)
def test_what_is_no_store(key, value, said, served, images):
    given = {"observations": images, **OTHERS["identify"][1]}
    given[key] = with_value(given[key], value, 1)
    said = said, "in 1 of 2 groups, the first at row 1"
    assert_refused(served("plain"), "identify", given, *said)


def test_stored_evidence_has_two_parts(served, images):
    given = {"observations": images, **OTHERS["identify"][1]}
    given["weighted_loc"] = given["weighted_loc"][:1]
    said = "expected precision [N, 3] and weighted_loc [N, 3]: got [2 3] and"
    words = "[1 3]. One row of each is of one group."
    assert_refused(served("plain"), "identify", given, said, words)
    given["precision"] = given["precision"][:, :2]
    said = "precision must have shape [N, 3]: got [2 2]"
    assert_refused(served("plain"), "identify", given, said)


def test_what_says_nothing_is_as_likely_of_any(served, images):
    """A group without evidence, an observation without a known value."""
    others = {k: v.copy() for k, v in OTHERS["identify"][1].items()}
    for part in others.values():
        part[1] = 0
    images[2] = np.nan
    given = {"observations": images, **others}
    scores = call(served("gaps"), "identify", given)["scores"].numpy()
    np.testing.assert_allclose(scores[:, 1], 0, atol=1e-6)
    np.testing.assert_allclose(scores[2], 0, atol=1e-6)
    assert np.abs(scores[[0, 1, 3, 4, 5], 0]).min() > 1e-3


def test_a_store_without_groups(served, images):
    nothing = np.zeros((0, 3), np.float32)
    given = {
        "observations": images,
        "precision": nothing,
        "weighted_loc": nothing,
    }
    assert call(served("plain"), "identify", given)["scores"].shape == (6, 0)


def test_observations_of_many_axes():
    """TensorFlow shows three sizes of a long shape at either end."""
    model = mlvae_tf.MLVAE((1, 2, 1, 2, 1, 2, 1), 3, 2, hidden_units=4)
    encode = tf.function(serving.Signatures(model).endpoint("encode"))
    given = tf.zeros((5, 1, 2, 1, 2, 1, 2, 1))
    assert encode(observations=given)["content_loc"].shape == (5, 3)


def test_evidence_is_taken_up_again(served, images):
    signatures = served("plain")
    groups = call(
        signatures, "infer_groups", {"observations": images, "group_ids": IDS}
    )
    stored = {
        key: groups[key][0].numpy() for key in ("precision", "weighted_loc")
    }
    again = call(signatures, "accumulate", {"observations": images, **stored})
    whole = call(
        signatures,
        "infer_groups",
        {"observations": images, "group_ids": np.full(6, b"one")},
    )
    for key, part in stored.items():
        np.testing.assert_allclose(
            again[key], part + whole[key][0], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("name", ["infer_groups", "reconstruct"])
def test_one_id_per_observation(name, served, images):
    given = {"observations": images, "group_ids": IDS[:2]}
    said = "one id per observation: got 2 ids for 6 observations. Pass"
    assert_refused(served("plain"), name, given, said)


def test_one_style_per_content(served):
    latents = {"content": np.ones((1, 3)), "style": np.ones((3, 2))}
    given = {key: value.astype(np.float32) for key, value in latents.items()}
    said = "expected content [N, 3] and style [N, 2]: got [1 3] and [3 2]."
    assert_refused(served("plain"), "decode", given, said)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("key", ["content", "style"])
def test_latents_are_finite(key, value, served):
    given = {"content": np.ones((4, 3)), "style": np.ones((4, 2))}
    given = {key: part.astype(np.float32) for key, part in given.items()}
    given[key] = with_value(given[key], value)
    said = f"in 1 of 4 rows, the first at row 2 ({value})"
    assert_refused(
        served("plain"), "decode", given, f"{key} must be finite: got", said
    )


def test_what_is_too_large_for_the_model(served, images):
    """A number that may be, but of which the networks make none."""
    given = {"observations": np.float32(3e38) * np.sign(images)}
    for name in ("encode", "accumulate"):
        others = OTHERS[name][1]
        assert_refused(
            served("real"),
            name,
            {**given, **others},
            "which the model computed, must be finite: got NaN or infinite",
        )
    latents = {"content": np.full((1, 3), 1e38), "style": np.ones((1, 2))}
    latents = {key: part.astype(np.float32) for key, part in latents.items()}
    said = "observations, which the model computed, must be finite"
    assert_refused(served("counts"), "decode", latents, said)


@pytest.mark.parametrize("name", OTHERS)
def test_nothing(name, served, images):
    key, others = OTHERS[name]
    if "group_ids" in others:
        others = {"group_ids": IDS[:0]}
    given = {key: images[:0], **others}
    if name != "encode":
        said = "expected at least one observation: got none"
        assert_refused(served("plain"), name, given, said)
        return
    answer = call(served("plain"), name, given)
    shapes = {key: tuple(value.shape) for key, value in answer.items()}
    assert shapes == {
        "content_loc": (0, 3),
        "content_scale": (0, 3),
        "style_loc": (0, 2),
        "style_scale": (0, 2),
    }


def test_nothing_decodes_to_nothing(served):
    given = {"content": np.ones((0, 3)), "style": np.ones((0, 2))}
    given = {key: part.astype(np.float32) for key, part in given.items()}
    answer = call(served("plain"), "decode", given)
    assert answer["observations"].shape == (0, 4, 4, 1)


def test_the_shape_of_an_observation(served, images):
    said = "observations must have shape [N, 4, 4, 1]: got [6 2 4 1]"
    given = {"observations": images[:, :2]}
    assert_refused(served("plain"), "encode", given, said)
