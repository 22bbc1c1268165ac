"""The settings of the scripts, in Python."""

import numpy as np
import pytest

import mlvae_tf
from mlvae_tf import likelihoods


def some(generator, dtype=np.float32):
    values = generator.normal(3, 2, size=(60, 5, 2))
    return values.astype(dtype), np.arange(60) % 6


@pytest.mark.slow
def test_what_it_makes_is_trained_as_it_says(generator):
    values, ids = some(generator)
    model, fitting, choices = mlvae_tf.prepare(
        values, ids, steps=24, hidden_units=(8,), style_flow=2
    )
    assert isinstance(model.likelihood, likelihoods.Normal)
    assert model.content_dim == 10
    assert model.levels[0].contrast == 30
    history = model.fit(**fitting, verbose=0)
    # Pieces of four of groups of ten: 18, 16 of them in a batch.
    assert int(model.optimizer.iterations) == 2 * fitting["epochs"] == 24
    assert np.isfinite(history.history["loss"]).all()
    chosen = {k: v for choice in choices for k, v in choice.settings.items()}
    assert chosen["likelihood"] == "normal"
    assert chosen["groups_per_batch"] == 16
    assert chosen["epochs"] == 12
    assert all(choice.reason for choice in choices)
    model.fit_style_flow(values, ids, steps=3)
    assert model.infer_style(values).loc.shape == (60, model.style_dim)


def test_images_are_read_as_the_scripts_do(generator):
    images = generator.integers(0, 256, size=(20, 8, 8, 1), dtype=np.uint8)
    ids = np.repeat(["a", "b"], 10)
    model, fitting, _ = mlvae_tf.prepare(images, ids, epochs=1, style_dim=3)
    assert isinstance(model.likelihood, likelihoods.Bernoulli)
    assert model.style_dim == 3
    batch = next(iter(fitting["x"]))
    assert batch["observations"].numpy().max() <= 1
    assert sorted(set(batch["whole_ids"].numpy())) == [0, 1]


def test_the_same_seed_makes_the_same(generator):
    values, ids = some(generator)
    made = [
        mlvae_tf.prepare(values, ids, seed, epochs=1, hidden_units=(8,)).model
        for seed in (1, 1, 2)
    ]
    first, same, other = (m.get_weights()[0] for m in made)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"contnt_dim": 3}, "got contnt_dim. Did you mean content_dim"),
        ({"workdir": "x"}, "got workdir."),
        ({"keep": "last"}, "got keep."),
        ({"content_dim": 0}, "content_dim"),
    ],
)
def test_a_setting_that_is_none_is_refused(generator, settings, words):
    with pytest.raises(mlvae_tf.InputError, match=words):
        mlvae_tf.prepare(*some(generator), **settings)


def test_data_that_are_none_are_refused(generator):
    values, ids = some(generator)
    with pytest.raises(mlvae_tf.InputError, match="one id"):
        mlvae_tf.prepare(values, ids[:-1])
    with pytest.raises(mlvae_tf.InputError, match="at least one"):
        mlvae_tf.prepare(values[:0], ids[:0])


def test_settings_may_be_numpys(generator):
    values, ids = some(generator)
    scaled = {"observation_scale": np.float32(0.5), "hidden_units": [8, 8]}
    units = {"observation_unit": values.std(axis=(0, 1)).astype(np.float64)}
    model, *_ = mlvae_tf.prepare(values, ids, epochs=1, **scaled, **units)
    assert model.likelihood.scale == 0.5
    assert model.likelihood.unit == tuple(units["observation_unit"])


@pytest.mark.parametrize(
    ("bad", "words"),
    [(np.nan, "missing_values"), (np.inf, "finite numbers")],
)
def test_values_that_cannot_be_learned_from_are_refused_at_once(
    generator, bad, words
):
    values, ids = some(generator)
    values[7, 1, 1] = bad
    with pytest.raises(ValueError, match=words):
        mlvae_tf.prepare(values, ids)


def test_observations_have_values(generator):
    with pytest.raises(
        ValueError, match=r"got \[9\]\. Pass observations\[:, N"
    ):
        mlvae_tf.prepare(generator.normal(size=9), np.arange(9) % 3)
