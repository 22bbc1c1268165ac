import sys

import keras
import numpy as np
import pytest

from mlvae_tf import files, likelihoods
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import make_dataset
from mlvae_tf.data.sampling import Batching
from mlvae_tf.errors import InputError
from mlvae_tf.runs import building, training, workdir
from mlvae_tf.runs.config import Config, ModelConfig


@pytest.mark.parametrize(("fraction", "momentum"), [(0.1, 0.5), (0.02, 0.0)])
def test_weights_end_as_their_moving_average(generator, fraction, momentum):
    images = generator.uniform(size=(20, 4, 4, 1))
    data = GroupedData.of(images, np.arange(20) % 2)
    config = Config().replace(
        {"weight_averaging": fraction, "hidden_units": (3,)}
    )
    model = building.make_model(config, (4, 4, 1), steps=20)
    trajectory = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            trajectory.append(model.get_weights())

    model.fit(
        make_dataset(data, Batching(2, 2), 0, epochs=2),
        epochs=2,
        steps_per_epoch=5,
        verbose=0,
        callbacks=[Record()],
    )
    assert len(trajectory) == 10
    average = trajectory[0]
    for weights in trajectory[1:]:
        average = [
            momentum * mean + (1 - momentum) * weight
            for mean, weight in zip(average, weights)
        ]
    for weight, mean in zip(model.get_weights(), average):
        np.testing.assert_allclose(weight, mean, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, likelihoods.Bernoulli()),
        (
            {"likelihood": "normal", "observation_scale": 0.2},
            likelihoods.Normal(0.2),
        ),
        (
            {"likelihood": "categorical", "classes": 3, "missing_values": True},
            likelihoods.WithMissing(likelihoods.Categorical(3)),
        ),
    ],
)
def test_likelihoods_and_what_their_models_have(settings, expected):
    assert building.make_likelihood(ModelConfig(**settings)) == expected
    config = Config().replace({**settings, "hidden_units": (3,)})
    model = building.make_model(config, (4, 4, 1), steps=1)
    assert model.codec.likelihood == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"likelihood": "x"}, "likelihood must be one of .* got 'x'"),
        ({"likelihood": "categorical"}, "--classes"),
        ({"networks": "no_such_module:make"}, "--networks=no_such_module:make"),
        ({"networks": "math:no_such_function"}, "must name a function"),
        ({"networks": "builtins:print"}, "must give an encoder and a decoder"),
    ],
)
def test_models_that_cannot_be_made(settings, message):
    config = Config().replace(settings)
    with pytest.raises(InputError, match=message):
        building.make_model(config, (4, 4, 1), steps=1)


OWN = """
import keras

@keras.saving.register_keras_serializable("own")
class Encoder(keras.layers.Flatten):
    pass

def make(encoded_shape, latents, parameter_shape):
    assert (encoded_shape, latents) == ((4, 4, 1), 5)
    decoder = keras.Sequential(
        [
            keras.Input((latents,)),
            keras.layers.Dense(16),
            keras.layers.Reshape(parameter_shape),
        ]
    )
    return Encoder(), decoder
"""


def test_networks_of_the_users_are_found_again(tmp_path, monkeypatch):
    """As by another process, which has not imported their module yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_networks.py").write_text(OWN)

    def forget():
        del sys.modules["own_networks"]
        del keras.saving.get_custom_objects()["own>Encoder"]

    config = Config().replace(
        {"networks": "own_networks:make", "content_dim": 3, "style_dim": 2}
    )
    model = building.make_model(config, (4, 4, 1), steps=1)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    files.write_json(tmp_path / "config.json", training.run_record(config))
    forget()
    loaded = workdir.load_model(tmp_path)
    assert type(loaded.encoder).__name__ == "Encoder"
    for one, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    forget()
    (tmp_path / "own_networks.py").unlink()
    with pytest.raises(InputError, match="--networks=own_networks:make must"):
        workdir.load_model(tmp_path)
