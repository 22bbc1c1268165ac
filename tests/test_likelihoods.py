import dataclasses

import keras
import numpy as np
import pytest
import reference
import scipy.stats
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import checks, guards, likelihoods
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import (
    Bernoulli,
    Categorical,
    NegativeBinomial,
    Normal,
    NormalLearnedScale,
    Poisson,
    WithMissing,
)

SHAPE = (6, 3, 2, 2)
ALL = [
    Bernoulli(),
    Normal(0.3),
    NormalLearnedScale(),
    Poisson(),
    NegativeBinomial(),
    Categorical(5),
]


def parameters_of(likelihood, generator):
    shape = likelihood.parameter_shape(SHAPE[1:])
    return tf.constant(generator.normal(size=(SHAPE[0], *shape)) * 2)


def values_of(likelihood, generator):
    """Some that it takes."""
    values = generator.uniform(size=SHAPE)
    if isinstance(likelihood, (Poisson, NegativeBinomial, Categorical)):
        values = np.floor(values * 5)
    return values


def test_bernoulli_matches_the_oracle(generator):
    logits = generator.normal(size=SHAPE) * 10
    x = generator.uniform(size=SHAPE)
    x[0] = x[0] > 0.5
    likelihood = Bernoulli().of_observations(tf.constant(logits))
    assert likelihood.event_shape == SHAPE[1:]
    np.testing.assert_allclose(
        likelihood.log_prob(x),
        reference.bernoulli_log_prob(logits, x),
        rtol=1e-10,
    )


def test_normal_matches_the_oracle(generator):
    loc, x = generator.normal(size=(2, *SHAPE))
    likelihood = Normal(0.3).of_observations(tf.constant(loc))
    np.testing.assert_allclose(
        likelihood.log_prob(x),
        reference.normal_log_prob(loc, 0.3, x),
        rtol=1e-10,
    )
    np.testing.assert_array_equal(likelihood.mean(), loc)


def test_normal_with_learned_scale_matches_the_oracle(generator):
    # The variance is exp(tanh(v)), between e^-1 and e.
    loc, log_variance, x = generator.normal(size=(3, *SHAPE)) * 3
    parameters = np.concatenate([loc, log_variance], axis=-1)
    assert NormalLearnedScale().num_parameters == 2
    scale = np.sqrt(np.exp(np.tanh(log_variance)))
    np.testing.assert_allclose(
        NormalLearnedScale()
        .of_observations(tf.constant(parameters))
        .log_prob(x),
        reference.normal_log_prob(loc, scale, x),
        rtol=1e-10,
    )


def test_poisson_matches_scipy(generator):
    log_rate = generator.normal(size=SHAPE) * 3
    x = generator.poisson(np.exp(log_rate)) + generator.integers(3, size=SHAPE)
    np.testing.assert_allclose(
        Poisson().log_prob(tf.constant(log_rate), x.astype(float)),
        scipy.stats.poisson(np.exp(log_rate)).logpmf(x),
        rtol=1e-10,
    )


def test_negative_binomial_matches_scipy(generator):
    log_mean, log_inverse = generator.normal(size=(2, *SHAPE)) * 2
    x = generator.poisson(np.exp(log_mean)).astype(float)
    mean, inverse = np.exp(log_mean), np.exp(log_inverse)
    likelihood = NegativeBinomial()
    parameters = tf.constant(np.concatenate([log_mean, log_inverse], axis=-1))
    oracle = scipy.stats.nbinom(inverse, inverse / (inverse + mean))
    np.testing.assert_allclose(
        likelihood.log_prob(parameters, x), oracle.logpmf(x), rtol=1e-10
    )
    distribution = likelihood.distribution(parameters)
    np.testing.assert_allclose(distribution.mean(), mean, rtol=1e-10)
    np.testing.assert_allclose(
        distribution.variance(), mean + mean**2 / inverse, rtol=1e-10
    )


def test_categorical_matches_scipy(generator):
    likelihood = Categorical(5)
    parameters = parameters_of(likelihood, generator)
    x = generator.integers(5, size=SHAPE)
    logits = parameters.numpy().reshape(*SHAPE, 5)
    expected = scipy.special.log_softmax(logits, axis=-1)
    np.testing.assert_allclose(
        likelihood.log_prob(parameters, x.astype(float)),
        np.take_along_axis(expected, x[..., np.newaxis], -1)[..., 0],
        rtol=1e-10,
    )
    mean = likelihood.of_observations(parameters).mean()
    np.testing.assert_allclose(mean, np.exp(expected) @ np.arange(5.0), 1e-10)


@pytest.mark.parametrize("likelihood", ALL, ids=str)
def test_probabilities_sum_to_one_where_values_can_be_listed(
    likelihood, generator
):
    if isinstance(likelihood, (Normal, NormalLearnedScale)):
        values = np.linspace(-60, 60, 20_001)
        step = values[1] - values[0]
    else:
        ends = {Bernoulli: 2, Categorical: 5}
        values, step = np.arange(ends.get(type(likelihood), 4000.0)), 1
    parameters = parameters_of(likelihood, generator)[:1] / 2
    grid = np.broadcast_to(
        values[:, np.newaxis, np.newaxis, np.newaxis],
        (len(values), *SHAPE[1:]),
    )
    total = np.exp(likelihood.log_prob(parameters, grid)).sum(axis=0)
    np.testing.assert_allclose(total * step, 1, rtol=1e-6)


@pytest.mark.parametrize("likelihood", ALL, ids=str)
def test_shapes_are_as_said(likelihood, generator):
    parameters = parameters_of(likelihood, generator)
    values = tf.constant(values_of(likelihood, generator))
    assert likelihood.log_prob(parameters, values).shape == SHAPE
    assert likelihood.of_observations(parameters).mean().shape == SHAPE
    encoded = likelihood.encoded(values)
    assert encoded.shape[1:] == likelihood.encoded_shape(SHAPE[1:])
    assert np.all(likelihood.valid(values))
    assert likelihood.known(values) is None


def test_what_the_encoder_reads():
    counts = tf.constant([[0.0, 1.0, 100.0]])
    np.testing.assert_allclose(Poisson().encoded(counts), np.log1p(counts))
    # Two channels of three classes: channel by channel, one-hot.
    hot = Categorical(3).encoded(tf.constant([[2.0, 0.0]]))
    assert hot.numpy().tolist() == [[0, 0, 1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        (Bernoulli(), [0, 0.2, 1]),
        (Normal(), [0, 0.2, 1]),
        (Poisson(), [0, 51, 255]),
        (NegativeBinomial(), [0, 51, 255]),
        (Categorical(256), [0, 51, 255]),
    ],
    ids=str,
)
def test_what_eight_bit_images_become(likelihood, expected):
    eight_bit = np.array([0, 51, 255], np.uint8)
    np.testing.assert_allclose(likelihood.values(eight_bit), expected)
    kept = likelihood.values(np.array([0.0, 1.0]))
    assert kept.numpy().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("likelihood", "bad", "said"),
    [
        (Bernoulli(), 1.5, r"numbers in \[0, 1\] .* \(1.5\)\. Divide 8-bit"),
        (Normal(), np.inf, r"finite numbers: got NaN or infinite .* \(inf\)"),
        (Poisson(), -1.0, r"whole numbers from 0 on, counts: .* \(-1\)"),
        (NegativeBinomial(), 0.5, r"whole numbers from 0 on, counts: .*0\.5"),
        (Categorical(5), 5.0, r"whole numbers from 0 to 4, classes: .* \(5\)"),
        (Poisson(), np.nan, r"first at row 4 \(nan\)\. .*missing_values=True"),
    ],
    ids=str,
)
def test_other_values_are_refused_with_the_row(
    likelihood, bad, said, generator
):
    values = values_of(likelihood, generator)
    checks.check_values(values, likelihood)
    values[4, 1, 1, 0] = bad
    with pytest.raises(InputError, match=said) as raised:
        checks.check_values(values, likelihood)
    assert "in 1 of 6 observations, the first at row 4" in str(raised.value)

    @tf.function
    def in_a_graph(x):
        return guards.assert_values(x, likelihood)

    with pytest.raises(InputError) as within, guards.as_input_error():
        in_a_graph(tf.constant(values))
    words = str(within.value).replace(" of the batch", "")
    assert words == str(raised.value)


def test_stored_bytes_are_checked_where_some_are_no_values():
    bytes_ = np.array([[0], [9]], np.uint8)
    for likelihood in (Bernoulli(), Poisson(), Categorical(10)):
        checks.check_stored(bytes_, likelihood)
    with pytest.raises(InputError, match=r"from 0 to 4, classes"):
        checks.check_stored(bytes_, Categorical(5))


@pytest.mark.parametrize("likelihood", [*ALL, WithMissing(Poisson())], ids=str)
def test_round_trip(likelihood):
    config = keras.saving.serialize_keras_object(likelihood)
    assert keras.saving.deserialize_keras_object(config) == likelihood


def test_by_name():
    for name, kind in likelihoods.NAMES.items():
        assert type(likelihoods.get(name, scale=2.0, classes=3)) is kind
    assert likelihoods.get("normal", scale=2.0, classes=None) == Normal(2.0)
    assert likelihoods.get(Poisson()) == Poisson()
    with pytest.raises(InputError, match=r"'bernoulli', .*: got 'gamma'"):
        likelihoods.get("gamma")
    with pytest.raises(InputError, match="number of classes: pass"):
        likelihoods.get("categorical")
    with pytest.raises(InputError, match="classes must be at least 2: got 1"):
        Categorical(1)
    with pytest.raises(InputError, match="must be positive: got 0"):
        Normal(0)


@keras.saving.register_keras_serializable("tests")
@dataclasses.dataclass(frozen=True)
class Laplace(likelihoods.Likelihood):
    """One of a user's own, as the module's docstring shows."""

    width: float = 1.0

    def distribution(self, parameters):
        return tfd.Laplace(parameters, self.width * tf.ones_like(parameters))


def test_one_of_a_users_own(make_model, batch, tmp_path):
    model = make_model(likelihood=Laplace(0.2), dtype="float32")
    model.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
    history = model.fit(batch, epochs=20, batch_size=12, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.likelihood == Laplace(0.2)


class TestMissing:
    @pytest.fixture(params=ALL, ids=str)
    def likelihood(self, request):
        return request.param

    def test_values_that_are_known_count_as_they_are(
        self, likelihood, generator
    ):
        parameters = parameters_of(likelihood, generator)
        values = values_of(likelihood, generator)
        gone = generator.uniform(size=SHAPE) < 0.4
        gaps = np.where(gone, np.nan, values)
        log_prob = WithMissing(likelihood).log_prob(
            parameters, tf.constant(gaps)
        )
        full = likelihood.log_prob(parameters, tf.constant(values))
        np.testing.assert_array_equal(log_prob, np.where(gone, 0, full))

    def test_no_gradient_is_nan(self, likelihood, generator):
        parameters = parameters_of(likelihood, generator)
        values = values_of(likelihood, generator)
        values[0] = np.nan
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = WithMissing(likelihood).log_prob(
                parameters, tf.constant(values)
            )
        gradient = tape.gradient(log_prob, parameters).numpy()
        assert np.isfinite(gradient).all()
        assert not gradient[0].any()
        assert gradient[1:].any()

    def test_the_encoder_reads_zeros_and_the_mask(self, likelihood, generator):
        values = values_of(likelihood, generator)
        values[0, 0, 0, 0] = np.nan
        missing = WithMissing(likelihood)
        encoded = missing.encoded(tf.constant(values)).numpy()
        assert encoded.shape[1:] == missing.encoded_shape(SHAPE[1:])
        full = likelihood.encoded(tf.constant(np.nan_to_num(values))).numpy()
        shown, mask = encoded[..., :-2], encoded[..., -2:]
        per_value = full.shape[-1] // 2
        assert not shown[0, 0, 0, :per_value].any()
        np.testing.assert_array_equal(shown[1:], full[1:])
        np.testing.assert_array_equal(mask, ~np.isnan(values))

    def test_which_observations_say_anything(self, likelihood, generator):
        values = values_of(likelihood, generator)
        values[2] = np.nan
        values[3, 0] = np.nan
        missing = WithMissing(likelihood)
        known = missing.known(tf.constant(values)).numpy()
        assert known.tolist() == [True, True, False, True, True, True]
        checks.check_values(values, missing)
        values[1, 0, 0, 0] = np.inf
        with pytest.raises(InputError, match="or NaN: got"):
            checks.check_values(values, missing)
