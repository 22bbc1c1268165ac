import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from mlvae_tf.flows import HIDDEN, ConditionalFlow


@pytest.fixture(params=[1, 2, 5])
def flow(request, generator):
    """A flow in float64 with weights at random."""
    flow = ConditionalFlow(request.param, 3, 3, units=6, dtype="float64")
    flow.set_weights(
        [generator.normal(size=w.shape) * 0.7 for w in flow.get_weights()]
    )
    flow.use(np.arange(flow.dim) != 2)
    return flow


@pytest.fixture
def inputs(flow, generator):
    return (
        tf.constant(generator.normal(size=(4, flow.dim))),
        tf.constant(generator.normal(size=(4, 3))),
    )


def jacobian(function, points):
    """Central differences, `[N, out, in]`."""
    columns = []
    for step in 1e-6 * np.eye(points.shape[1]):
        columns.append((function(points + step) - function(points - step)) / 2)
    return np.stack(columns, axis=-1) / 1e-6


def test_inverse(flow, inputs):
    u, condition = inputs
    z, _ = flow.forward(u, condition)
    assert not np.allclose(z, u)
    np.testing.assert_allclose(flow.inverse(z, condition), u, atol=1e-10)


def test_what_is_not_used_is_neither_read_nor_changed(flow, inputs):
    u, condition = inputs
    z, log_det = flow.forward(u, condition)
    unused = (np.arange(flow.dim) == 2).astype(float)
    moved = flow.forward(u + unused, condition)
    np.testing.assert_allclose(moved[0], z + unused, rtol=1e-12)
    np.testing.assert_array_equal(moved[1], log_det)
    np.testing.assert_allclose((z - u) * unused, 0, atol=1e-12)


def test_log_det(flow, inputs):
    u, condition = inputs
    matrices = jacobian(lambda x: flow.forward(x, condition)[0].numpy(), u)
    _, expected = np.linalg.slogdet(matrices)
    _, actual = flow.forward(u, condition)
    np.testing.assert_allclose(actual, expected, atol=1e-7)


@pytest.mark.parametrize("place", range(HIDDEN))
def test_a_dropped_layer_says_nothing(flow, inputs, place):
    factors = np.ones((flow.num_layers, HIDDEN, 4, flow.units))
    for kept, dropped in zip(
        flow.forward(*inputs), flow.forward(*inputs, factors), strict=True
    ):
        np.testing.assert_array_equal(kept, dropped)
    factors[1, place] = 0  # Of one coupling.
    z, log_det = flow.forward(*inputs, factors)
    assert not np.allclose(z, flow.forward(*inputs)[0])
    # What reads the layer could as well have no weights.
    kernels_and_biases = 2 * (HIDDEN + 1)
    reader = flow.variables_to_fit[kernels_and_biases + 2 * (place + 1)]
    reader.assign(tf.zeros_like(reader))
    for expected, actual in zip(flow.forward(*inputs), (z, log_det)):
        np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_a_new_flow_is_the_identity(inputs):
    u, condition = inputs
    flow = ConditionalFlow(u.shape[1], 3, dtype="float64")
    z, log_det = flow.forward(u, condition)
    np.testing.assert_allclose(z, u)
    np.testing.assert_allclose(log_det, 0)
    scale = np.linspace(0.5, 1.5, u.shape[1])
    expected = -scipy.stats.norm.logpdf(u, scale=scale).sum(-1)
    np.testing.assert_allclose(
        flow.negative_log_likelihood(u, condition, scale), expected
    )


def test_it_learns_what_the_condition_tells(generator):
    """u is N(3 c, e^c) and N(u_1^2, 1) for c = -1, 1; the density is known."""
    c = np.repeat([[-1.0], [1.0]], 2000, axis=0).astype(np.float32)
    noise = generator.normal(size=(4000, 2)).astype(np.float32)
    first = 3 * c + np.exp(c / 2) * noise[:, :1]
    u = np.hstack([first, 0.3 * first**2 + noise[:, 1:]])
    # -log p(u | c) of the true density.
    truth = (0.5 * noise**2).sum(-1) + np.log(2 * np.pi) + c[:, 0] / 2
    flow = ConditionalFlow(2, 1, 4, units=32)
    optimizer = keras.optimizers.Adam(3e-3)

    @tf.function
    def step(rows):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                flow.negative_log_likelihood(
                    tf.gather(u, rows), tf.gather(c, rows)
                )
            )
        variables = flow.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables)
        )

    optimizer.build(flow.trainable_variables)
    for _ in range(600):
        step(tf.constant(generator.integers(0, 4000, 256)))
    learned = flow.negative_log_likelihood(u, c).numpy()
    assert abs(learned.mean() - truth.mean()) < 0.1
    z = flow.forward(u, c)[0].numpy()
    for half in z[:2000], z[2000:]:
        np.testing.assert_allclose(half.mean(0), 0, atol=0.15)
        np.testing.assert_allclose(half.std(0), 1, atol=0.15)
    assert abs(u[:2000, 0].mean() - u[2000:, 0].mean()) > 5


def test_config_round_trip():
    flow = ConditionalFlow(4, 2, 3, 7)
    again = ConditionalFlow.from_config(flow.get_config())
    assert [w.shape for w in again.weights] == [w.shape for w in flow.weights]


def test_impossible_sizes():
    with pytest.raises(ValueError, match="at least 1: got 2, 0, 10 and 128"):
        ConditionalFlow(2, 0)


def test_near_is_the_mean_of_the_prototypes_by_their_distance(generator):
    flow = ConditionalFlow(2, 3, 1, units=4, dtype="float64")
    prototypes = generator.normal(size=(5, 3))
    flow.remember(tf.constant(prototypes))
    conditions = generator.normal(size=(7, 3))
    squares = np.sum((conditions[:, None] - prototypes) ** 2, axis=-1)
    weights = np.exp(-squares / 2)
    expected = weights @ prototypes / weights.sum(axis=1, keepdims=True)
    near = flow.near(tf.constant(conditions))
    np.testing.assert_allclose(near, expected, rtol=1e-10)
    flow.remember(tf.constant(30 * prototypes))
    np.testing.assert_allclose(
        flow.near(tf.constant(30 * prototypes + 0.1)), 30 * prototypes
    )
