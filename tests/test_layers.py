import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
import tensorflow_probability as tfp

import mlvae_tf
from mlvae_tf import evidence
from mlvae_tf.layers import EvidenceAccumulation, NormalHead


@pytest.fixture
def ragged(generator):
    loc = generator.normal(size=(9, 3))
    scale = np.exp(generator.normal(size=(9, 3)))
    return loc, scale


def test_normal_head_matches_the_oracle(generator):
    head = NormalHead(3, dtype="float64")
    features = generator.normal(size=(5, 4))
    posterior = head(features)
    assert isinstance(posterior, tfp.distributions.Normal)
    assert posterior.batch_shape == (5, 3)
    kernel, bias = head.get_weights()
    loc, scale = reference.normal_head(features, kernel, bias)
    np.testing.assert_allclose(posterior.loc, loc, rtol=1e-10)
    np.testing.assert_allclose(posterior.scale, scale, rtol=1e-10)


def test_normal_head_scale_is_bounded():
    head = NormalHead(2)
    head.build((None, 1))
    head.set_weights([np.array([[0, 0, 1, -1]]), np.zeros(4)])
    scale = head(tf.constant([[1e30]])).scale.numpy()
    np.testing.assert_allclose(scale, [[np.exp(7), np.exp(-7)]], rtol=1e-5)


def test_normal_head_round_trip():
    config = NormalHead(4, kernel_initializer="he_normal").get_config()
    assert NormalHead.from_config(config).get_config() == config


def test_normal_head_wants_a_dimension():
    with pytest.raises(ValueError, match="dim must be at least 1"):
        NormalHead(0)


@pytest.mark.parametrize(
    "ids",
    [
        [5, -3, 5, 0, 0, 5, 9, -3, 5],
        ["x", "y", "x", "z", "z", "x", "w", "y", "x"],
        list(range(9)),
        [4] * 9,
    ],
)
def test_accumulation_matches_the_oracle(ragged, ids):
    content = EvidenceAccumulation(dtype="float64")(*ragged, tf.constant(ids))
    groups, loc, scale = reference.accumulate(*ragged, ids)
    assert isinstance(content, tfp.distributions.Normal)
    assert content.batch_shape == (len(groups), 3)
    np.testing.assert_allclose(content.loc, loc, rtol=1e-10)
    np.testing.assert_allclose(content.scale, scale, rtol=1e-10)


def test_accumulation_of_rows_leaves_empty_groups_flat(ragged):
    rows = tf.constant([0, 0, 2, 2, 2, -1, -1, -1, -1])
    layer = EvidenceAccumulation(dtype="float64")
    content = layer(*ragged, rows, num_groups=4)
    _, loc, scale = reference.accumulate(
        ragged[0][:5], ragged[1][:5], [0, 0, 2, 2, 2]
    )
    np.testing.assert_allclose(content.loc.numpy()[[0, 2]], loc, rtol=1e-10)
    np.testing.assert_allclose(content.scale.numpy()[[0, 2]], scale, rtol=1e-10)
    assert np.isinf(content.scale.numpy()[[1, 3]]).all()


IDS = [5, -3, 5, 0, 0, 5, 9, -3, 5]
ROWS = [0, 1, 0, 2, 2, 0, 3, 1, 0]


def test_the_prior_is_one_more_factor(ragged):
    layer = EvidenceAccumulation("product_with_prior", dtype="float64")
    content = layer(*ragged, tf.constant(IDS))
    loc = np.concatenate([ragged[0], np.zeros((4, 3))])
    scale = np.concatenate([ragged[1], np.ones((4, 3))])
    _, loc, scale = reference.accumulate(loc, scale, [*IDS, 5, -3, 0, 9])
    np.testing.assert_allclose(content.loc, loc, rtol=1e-10)
    np.testing.assert_allclose(content.scale, scale, rtol=1e-10)


def test_an_empty_group_has_the_prior_where_the_prior_counts(ragged):
    layer = EvidenceAccumulation("product_with_prior", dtype="float64")
    content = layer(*ragged, tf.zeros(9, tf.int32), num_groups=2)
    assert content.loc.numpy()[1].tolist() == [0, 0, 0]
    assert content.scale.numpy()[1].tolist() == [1, 1, 1]


def test_the_average_matches_the_oracle(ragged):
    layer = EvidenceAccumulation("average", dtype="float64")
    content = layer(*ragged, tf.constant(IDS))
    _, loc, scale = reference.average(*ragged, IDS)
    np.testing.assert_allclose(content.loc, loc, rtol=1e-10)
    np.testing.assert_allclose(content.scale, scale, rtol=1e-10)


def test_the_example_of_the_docstring():
    content = EvidenceAccumulation()(
        tf.constant([[0.0], [2.0], [5.0]]),
        tf.constant([[1.0], [1.0], [3.0]]),
        tf.constant(["a", "a", "b"]),
    )
    np.testing.assert_allclose(content.loc, [[1], [5]])
    np.testing.assert_allclose(content.scale, [[0.5**0.5], [3]], rtol=1e-6)


def test_ids_that_are_no_ids_and_shapes_that_differ(ragged):
    layer = EvidenceAccumulation()
    with pytest.raises(ValueError, match="integers or strings"):
        layer(*ragged, tf.ones(9))
    with pytest.raises(ValueError, match="must have one shape"):
        layer(ragged[0], ragged[1][:, :2], tf.zeros(9, tf.int32))
    with pytest.raises(
        ValueError, match=r"^group_ids must .* 8 ids for 9 observations"
    ):
        layer(*ragged, tf.zeros(8, tf.int32))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_a_scale_that_is_none(ragged, bad):
    loc, scale = ragged
    scale[4, 1] = bad
    with pytest.raises(
        ValueError, match=r"^scale must be .* 1 rows of 9 .* first at row 4"
    ):
        EvidenceAccumulation()(loc, scale, tf.zeros(9, tf.int32))


def test_lists_are_taken():
    content = EvidenceAccumulation()(
        [[0.0], [2.0], [5.0]], [[1.0], [1.0], [3.0]], ["a", "a", "b"]
    )
    np.testing.assert_allclose(content.loc, [[1], [5]])
    with pytest.raises(ValueError, match=r"1 of 3 that are not, .* row 1"):
        EvidenceAccumulation()([[0.0]] * 3, [[1.0]] * 3, ["a", None, "b"])


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (NormalHead(3), [keras.Input((4,))]),
        (EvidenceAccumulation(), [keras.Input((4,)) for _ in range(3)]),
    ],
)
def test_a_functional_model_cannot_hold_a_distribution(layer, inputs):
    said = (
        rf"^{type(layer).__name__} returns .* functional model .* cannot hold"
    )
    with pytest.raises(ValueError, match=said):
        layer(*inputs)


def test_a_million_observations_add_up():
    # Float32 sums end 2.9 posterior standard deviations off.
    count = 1_000_000
    loc = tf.fill((count, 1), 0.7)
    scale = tf.fill((count, 1), 0.3)
    content = EvidenceAccumulation()(loc, scale, tf.zeros(count, tf.int32))
    deviation = np.float32(0.3) / np.sqrt(count)
    error = abs(float(content.loc[0, 0]) - float(np.float32(0.7)))
    assert error < 1e-3 * deviation
    np.testing.assert_allclose(content.scale, [[deviation]], rtol=1e-6)


@pytest.mark.parametrize("rule", ["product", "product_with_prior", "average"])
def test_sums_of_halves_make_the_posterior_of_the_whole(ragged, rule):
    layer = EvidenceAccumulation(rule, dtype="float64")
    rows, loc, scale = tf.constant(ROWS), *map(tf.constant, ragged)
    total = layer.zero(4, 3)
    for part in (slice(4), slice(4, None)):
        parts = layer.parts(loc[part], scale[part])
        more = evidence.accumulate(parts, rows[part], 4)
        total = evidence.add(total, more)
    halves = layer.posterior(total)
    whole = layer(loc, scale, rows, num_groups=4)
    np.testing.assert_allclose(halves.loc, whole.loc, rtol=1e-12)
    np.testing.assert_allclose(halves.scale, whole.scale, rtol=1e-12)


def test_an_unknown_rule():
    with pytest.raises(ValueError, match="rule must be one of product, "):
        EvidenceAccumulation("sum")


def test_accumulation_is_built_on_unsorted_segment_sum(ragged, monkeypatch):
    calls = []
    original = tf.math.unsorted_segment_sum
    monkeypatch.setattr(
        tf.math,
        "unsorted_segment_sum",
        lambda *args: calls.append(args) or original(*args),
    )
    EvidenceAccumulation()(*ragged, tf.constant([0] * 9))
    np.testing.assert_allclose(calls[0][0], 1 / ragged[1] ** 2, rtol=1e-6)


def test_accumulation_round_trip():
    config = EvidenceAccumulation("average", name="content").get_config()
    assert config["rule"] == "average"
    assert EvidenceAccumulation.from_config(config).get_config() == config


def test_layers_are_public_and_registered():
    assert mlvae_tf.layers.NormalHead is NormalHead
    name = keras.saving.get_registered_name(EvidenceAccumulation)
    assert name == "mlvae_tf>EvidenceAccumulation"
