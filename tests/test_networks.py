"""Networks of one's own, with all that Keras promises for them."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import mlvae_tf
from mlvae_tf.batches import Batch
from mlvae_tf.chunked import Chunked
from mlvae_tf.errors import InputError

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def dense_pair(between=(), regularizer=None, dtype=None):
    """Small networks for images of 4x4, with layers in the encoder's middle."""
    encoder = keras.Sequential(
        [
            layers.Flatten(dtype=dtype),
            layers.Dense(
                8, "tanh", kernel_regularizer=regularizer, dtype=dtype
            ),
            *between,
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((5,), dtype=dtype),
            layers.Dense(16, kernel_regularizer=regularizer, dtype=dtype),
            layers.Reshape((4, 4, 1), dtype=dtype),
        ]
    )
    return {"encoder": encoder, "decoder": decoder}


def dataset_of(batch):
    return tf.data.Dataset.from_tensors(batch)


def chunks_of(batch, size):
    images = tf.data.Dataset.from_tensor_slices(batch["observations"])
    return dataset_of({**batch, "observations": images.batch(size)})


def elbo(model, batch):
    return model.evaluate(batch, verbose=0, return_dict=True)["elbo"]


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_they_are_trained_saved_cloned_and_exported(
    make_model, batch, tmp_path, jit_compile
):
    model = make_model(**dense_pair(), dtype="float32")
    model.compile(keras.optimizers.Adam(0.02), jit_compile=jit_compile)
    history = model.fit(batch, batch_size=12, epochs=5, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = batch["observations"]
    expected = model.infer_style(images).loc
    np.testing.assert_array_equal(loaded.infer_style(images).loc, expected)
    clone = keras.models.clone_model(model)
    assert clone.encoder is not model.encoder
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.infer_style(images).loc, expected)
    model.export(str(tmp_path / "export"))
    served = tf.saved_model.load(str(tmp_path / "export")).signatures
    given = tf.constant(images, tf.float32)
    np.testing.assert_allclose(
        served["encode"](observations=given)["style_loc"], expected, 1e-5
    )


def test_only_one_of_them_may_be_given(make_model, batch):
    model = make_model(encoder=dense_pair()["encoder"])
    assert model.decoder.layers[-1].output.shape == (None, 4, 4, 1)
    model = make_model(decoder=dense_pair()["decoder"])
    assert model.infer_style(batch["observations"]).batch_shape == (12, 2)


@pytest.mark.parametrize(
    ("which", "network", "said"),
    [
        (
            "encoder",
            keras.Sequential([layers.Conv2D(3, 2)]),
            r"\[N, 4, 4, 1\] to features \[N, any\]: got \[N, 3, 3, 3\]",
        ),
        (
            "encoder",
            keras.Sequential([keras.Input((7,)), layers.Dense(2)]),
            r"encoder must take \[N, 4, 4, 1\]: it failed",
        ),
        (
            "decoder",
            layers.Dense(16),
            r"\[N, 5\] to the likelihood's parameters \[N, 4, 4, 1\]: got "
            r"\[N, 16\]",
        ),
        ("decoder", "mlp", "must be a Keras layer or model: got 'mlp'"),
    ],
)
def test_shapes_are_checked_at_once(make_model, which, network, said):
    with pytest.raises(InputError, match=said):
        make_model(**{which: network})


def test_shapes_follow_the_likelihood(make_model):
    with pytest.raises(InputError, match=r"parameters \[N, 4, 4, 2\]"):
        make_model(**dense_pair(), likelihood="normal_learned_scale")
    encoder = dense_pair()["encoder"]
    encoder.build((None, 4, 4, 1))
    with pytest.raises(InputError, match=r"encoder must take \[N, 4, 4, 2\]"):
        make_model(encoder=encoder, missing_values=True)


class Recorder(layers.Layer):
    """Notes whether it is called for training, and how many rows there are."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = []

    def call(self, inputs, training=None):
        self.calls.append((training, inputs.shape[0]))
        return inputs


@pytest.mark.parametrize("in_chunks", [False, True])
def test_they_are_told_of_training(make_model, batch, in_chunks):
    recorder = Recorder()
    model = make_model(**dense_pair([recorder]))
    model.compile("adam", run_eagerly=not in_chunks)
    data = chunks_of(batch, 5) if in_chunks else dataset_of(batch)
    for method, expected in ((model.fit, True), (model.evaluate, False)):
        recorder.calls.clear()
        method(data, verbose=0)
        assert {training for training, _ in recorder.calls} == {expected}
    recorder.calls.clear()
    model.infer_style(batch["observations"])
    assert all(training is False for training, _ in recorder.calls)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_they_see_no_padding(make_model, batch, jit_compile):
    norm = layers.BatchNormalization(momentum=0.0)
    model = make_model(**dense_pair([norm]))
    images = np.concatenate([batch["observations"], batch["observations"]])[:19]
    ids = np.arange(19)  # Which would be padded to 20.
    features = model.encoder.layers[1](images.reshape(19, -1)).numpy()
    model.compile(keras.optimizers.SGD(0.0), jit_compile=jit_compile)
    model.fit(dataset_of({"observations": images, "group_ids": ids}), verbose=0)
    np.testing.assert_allclose(norm.moving_mean, features.mean(0), rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, features.var(0), rtol=1e-5)


def test_moving_statistics_move_once_per_chunk(make_model, batch):
    norm = layers.BatchNormalization(momentum=0.9)
    model = make_model(**dense_pair([norm]))
    images = batch["observations"].reshape(12, -1)
    features = model.encoder.layers[1](images).numpy()
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(chunks_of(batch, 6), verbose=0)
    mean = 0.9 * (0.1 * features[:6].mean(0)) + 0.1 * features[6:].mean(0)
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-6)


@pytest.mark.parametrize(
    "in_chunks", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_dropout_draws_anew_by_the_step_alone(make_model, batch, in_chunks):
    data = chunks_of(batch, 5) if in_chunks else dataset_of(batch)

    def losses(repeat):
        keras.utils.set_random_seed(0)
        model = make_model(**dense_pair([layers.Dropout(0.5)]))
        model.compile(keras.optimizers.SGD(0.0))
        for _ in range(repeat):  # Draws that must not count.
            model.encoder(np.zeros((3, 4, 4, 1)), training=True)
        return model.fit(data, epochs=2, verbose=0).history["loss"]

    first, again = losses(0), losses(2)
    assert first == again
    assert first[0] != first[1]


@pytest.mark.parametrize(
    "rate", [pytest.param(0.0, marks=pytest.mark.slow), 0.3]
)
def test_the_gradient_of_chunks_is_that_of_their_loss(make_model, batch, rate):
    between = [layers.Dropout(rate, dtype="float64")] if rate else []
    model = make_model(**dense_pair(between, "l2", "float64"))
    model.compile(keras.optimizers.SGD())
    _, rows = tf.unique(batch["group_ids"])
    images = tf.data.Dataset.from_tensor_slices(batch["observations"])
    variable = model.encoder.layers[1].kernel
    start = variable.numpy()

    @tf.function(autograph=False)  # So that it is compiled once.
    def loss_and_gradients():
        return Chunked(model.elbo, padded=False).loss_and_gradients(
            Batch(images.batch(5), {"content": rows}),
            model._told()._replace(variables=[variable]),
        )

    ends = []
    for step in (1e-6, -1e-6):
        moved = start.copy()
        moved[3, 2] += step
        variable.assign(moved)
        ends.append(loss_and_gradients()[0])
    variable.assign(start)
    _, _, (gradient,) = loss_and_gradients()
    slope = (ends[0] - ends[1]) / 2e-6
    np.testing.assert_allclose(gradient[3, 2], slope, rtol=1e-5)


# Before 3.14, Keras adds penalties of outputs up over rows, without a mean.
MEAN_OVER_ROWS = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 14)


@pytest.mark.parametrize("in_chunks", [False, True])
def test_regularizers_enter_the_loss_once(make_model, batch, in_chunks):
    if in_chunks and not MEAN_OVER_ROWS:
        pytest.skip("A chunk's sum depends on how many rows the chunk has.")
    data = chunks_of(batch, 5) if in_chunks else dataset_of(batch)
    activity = layers.Dense(6, activity_regularizer=keras.regularizers.L1(0.01))
    keras.utils.set_random_seed(0)
    model = make_model(**dense_pair([activity], regularizer="l2"))
    kernels = model.encoder.layers[1].kernel, model.decoder.layers[0].kernel
    penalty = sum(0.01 * np.sum(np.square(kernel)) for kernel in kernels)
    outputs = model.encoder(batch["observations"]).numpy()
    rows = 12 if MEAN_OVER_ROWS else 1
    penalty += 0.01 * np.abs(outputs).sum() / rows
    model.compile(keras.optimizers.SGD(0.0))
    result = model.fit(data, verbose=0).history
    negative_elbo = -result["elbo"][0]
    np.testing.assert_allclose(
        result["loss"][0] - negative_elbo, penalty, rtol=1e-4
    )


def test_frozen_networks_stay(make_model, batch):
    model = make_model(**dense_pair())
    model.encoder.trainable = False
    before = [w.copy() for w in model.get_weights()]
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(dataset_of(batch), verbose=0)
    frozen = len(model.encoder.weights)
    changed = [
        np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert not any(changed[:frozen])
    assert all(changed[frozen:])


class Idle(layers.Layer):
    """Has a weight that nothing is computed from."""

    def build(self, input_shape):
        self.idle = self.add_weight(shape=(3,), name="idle")

    def call(self, inputs):
        return inputs


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_weight_may_be_idle(make_model, batch, in_chunks, jit_compile):
    model = make_model(**dense_pair([Idle()]))
    model.compile(keras.optimizers.SGD(0.1), jit_compile=jit_compile)
    before = [w.copy() for w in model.get_weights()]
    data = chunks_of(batch, 5) if in_chunks else dataset_of(batch)
    norm = model.fit(data, verbose=0).history["gradient_norm"][0]
    assert 0 < norm < np.inf
    idle = [weight.path.endswith("/idle") for weight in model.weights]
    same = [
        np.array_equal(a, b)
        for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert sum(idle) == 1
    assert same == idle


def test_a_network_cannot_be_replaced(make_model):
    model = make_model(**dense_pair())
    with pytest.raises(InputError, match="encoder cannot be replaced: "):
        model.encoder = dense_pair()["encoder"]


def test_the_example_trains_and_is_loaded(tmp_path, generator):
    spec = importlib.util.spec_from_file_location(
        "residual", EXAMPLES / "residual.py"
    )
    residual = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(residual)
    encoder, decoder = residual.networks((8, 6, 3), 7, (8, 6, 3))
    model = mlvae_tf.MLVAE(
        (8, 6, 3), 4, 3, encoder=encoder, decoder=decoder, seed=0
    )
    model.compile(keras.optimizers.Adam(1e-3))
    images = generator.uniform(size=(20, 8, 6, 3)).astype(np.float32)
    batch = {"observations": images, "group_ids": np.arange(20) % 5}
    history = model.fit(dataset_of(batch), epochs=15, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 5
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.infer_style(images).loc, model.infer_style(images).loc
    )


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((28, 28, 1), [28, 14, 7]),
        ((64, 64, 3), [64, 32, 16, 8]),
        ((30, 27, 3), [30, 15, 8]),
        ((25, 12), [25, 13, 7]),
        ((64, 6), [64, 32, 16, 8]),
        ((1001, 1), [1001, 501, 251, 126, 63, 32, 16, 8]),
        ((4, 2), [4, 2]),
    ],
)
@pytest.mark.parametrize("likelihood", ["normal", "normal_learned_scale"])
def test_convolutions_halve_images_and_series(shape, sizes, likelihood):
    model = mlvae_tf.MLVAE(
        shape, 3, 2, trunk="conv", likelihood=likelihood, hidden_units=8
    )
    convolutions = [
        layer for layer in model.encoder.layers if "conv" in layer.name
    ]
    outputs = [layer.output.shape[1] for layer in convolutions]
    assert outputs == sizes[1:]
    drawn = model.decode(np.zeros((2, 3)), np.zeros((2, 2))).mean()
    assert drawn.shape == (2, *shape)


def test_a_series_is_read_by_what_is_next_to_each_other(generator):
    """A pulse one period later is read with the same weights."""
    model = mlvae_tf.MLVAE((64, 1), 3, 2, trunk="conv", likelihood="normal")
    series = np.zeros((2, 64, 1), np.float32)
    series[0, 24:28] = series[1, 32:36] = 1
    read = series
    for layer in model.encoder.layers[:3]:
        read = layer(read)
    read = read.numpy()
    np.testing.assert_allclose(read[0, 2:5], read[1, 3:6], atol=1e-6)
    assert np.abs(read[0, 2:5] - read[1, 2:5]).max() > 0.01


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4, 5), (3, 1), (28, 2, 1)])
def test_other_shapes_have_no_convolutions(shape):
    with pytest.raises(InputError, match=r"images .* or series"):
        mlvae_tf.MLVAE(shape, trunk="conv")
