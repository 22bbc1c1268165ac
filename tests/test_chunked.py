import keras
import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf import errors, whole
from mlvae_tf.batches import Batch, Part
from mlvae_tf.chunked import Chunked
from mlvae_tf.steps import Step

SEED = tf.constant([3, 4])
WHOLE_IDS = tf.constant([0, 0, 1, 2, 3, -1, -1, -1, -1, -1, -1, -1, -1])
VARIANTS = [
    {},
    {"content_samples": "observation"},
    {"evidence_dropout": 0.5},
    {"accumulation": "product_with_prior"},
    {"accumulation": "average"},
    {"style_given_content": True, "evidence_dropout": 1.0},
    {"content_contrast": 3.0, "evidence_dropout": 0.5},
    {"content_kl_weight": 0.7, "style_kl_weight": 3.0},
]


def in_chunks(batch, size):
    observations = tf.data.Dataset.from_tensor_slices(batch["observations"])
    return {**batch, "observations": observations.batch(size)}


def prepared(batch, size):
    """What a step makes of a batch: five ragged groups, across all chunks."""
    _, segment_ids = tf.unique(batch["group_ids"])
    data = in_chunks(batch, size)["observations"]
    return Batch(data, {"content": segment_ids}, WHOLE_IDS)


def assert_near(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


def step_of(model):
    return Step(model.kl_weights(), SEED, model.trainable_variables, [])


def of_chunks(model, batch, compiled=True):
    return Chunked(model.elbo, compiled).loss_and_gradients(
        batch, step_of(model)
    )


def in_one_piece(model, batch):
    _, rows = tf.unique(batch["group_ids"])
    observations = tf.constant(batch["observations"])
    part = Part(observations, {"content": rows}, whole_ids=WHOLE_IDS)
    return whole.loss_and_gradients(model.elbo, part, step_of(model))


@pytest.mark.parametrize(
    ("size", "jit_compile"),
    [
        (1, False),
        pytest.param(5, True, marks=pytest.mark.slow),
        (5, False),
        (12, False),
    ],
)
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_the_gradient_is_that_of_the_whole(
    make_model, batch, generator, settings, size, jit_compile
):
    model = make_model(**settings)
    model.compile(jit_compile=jit_compile)
    loss, terms, gradients = of_chunks(
        model, prepared(batch, size), jit_compile
    )
    expected = in_one_piece(model, batch)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-10)
    tf.nest.map_structure(assert_near, terms, expected[1])
    for variable, one, other in zip(
        model.trainable_variables, gradients, expected[2]
    ):
        assert np.any(other != 0), variable.path
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10 * scale)


@pytest.mark.slow
def test_in_float32_to_a_hundred_thousandth(make_model, generator):
    model = make_model(dtype="float32", hidden_units=32)
    model.compile()
    batch = {
        "observations": generator.uniform(size=(500, 4, 4, 1)).astype("f"),
        "group_ids": generator.integers(5, size=500),
    }
    _, _, gradients = of_chunks(model, prepared(batch, 64))
    for one, other in zip(gradients, in_one_piece(model, batch)[2]):
        error = np.linalg.norm(one - other) / np.linalg.norm(other)
        assert error < 1e-5


@pytest.mark.parametrize(
    "settings", [{}, pytest.param({"style_flow": 2}, marks=pytest.mark.slow)]
)
def test_evaluation_is_that_of_the_whole(make_model, batch, settings):
    model = make_model(**settings)
    _, rows = tf.unique(batch["group_ids"])
    part = Part(tf.constant(batch["observations"]), {"content": rows})
    expected = whole.mean_terms(model.elbo, part, SEED)
    actual = Chunked(model.elbo).mean_terms(prepared(batch, 5), SEED)
    tf.nest.map_structure(assert_near, actual, expected)


@pytest.mark.slow
def test_fit_and_evaluate_take_chunks(make_model, batch):
    weights, results = [], []
    for convert in (lambda b: b, lambda b: in_chunks(b, 5)):
        keras.utils.set_random_seed(0)
        model = make_model(evidence_dropout=0.5)
        model.compile(optimizer=keras.optimizers.Adam(0.01))
        dataset = tf.data.Dataset.from_tensors(batch).repeat(3).map(convert)
        model.fit(dataset, epochs=2, verbose=0)
        weights.append(model.get_weights())
        results.append(model.evaluate(dataset, verbose=0, return_dict=True))
    for one, other in zip(*weights):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    for name, value in results[0].items():
        np.testing.assert_allclose(results[1][name], value, rtol=1e-8)


def test_ids_must_fit_the_chunks(make_model, batch):
    model = make_model()
    model.compile()
    for ids, word in ((batch["group_ids"][:-1], "fewer"), (["x"] * 13, "more")):
        dataset = tf.data.Dataset.from_tensors(
            {**batch, "group_ids": tf.constant(ids)}
        ).map(lambda b: in_chunks(b, 5))
        with pytest.raises(errors.InputError, match=f"got {word} ids"):
            model.fit(dataset, verbose=0)


def test_values_are_checked_in_chunks(make_model, batch):
    model = make_model()
    model.compile()
    batch["observations"][7] = np.nan
    dataset = tf.data.Dataset.from_tensors(batch).map(lambda b: in_chunks(b, 5))
    with pytest.raises(errors.InputError, match=r"numbers in \[0, 1\]"):
        model.fit(dataset, verbose=0)
