"""Models for the other tests here, by the package: `make test-runtimes`.

    python tests_runtimes/export.py FOLDER

FOLDER/NAME then holds the SavedModel `1/`, requests for its signatures and what
the live model answers, as arrays named SIGNATURE/NAME.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import mlvae_tf
from mlvae_tf import files, serving

MODELS = {
    # Of which docs/serving.md speaks: pictures of 2 x 2 grey pixels.
    "grey": {
        "observation_shape": (2, 2, 1),
        "content_dim": 3,
        "style_dim": 2,
        "hidden_units": 8,
    },
    # Convolutions, two levels, a style that is given contents, and a flow.
    "levels": {
        "observation_shape": (16, 16, 3),
        "levels": {"person": 3, "light": 2},
        "style_dim": 2,
        "style_given_content": True,
        "style_flow": 2,
        "trunk": "conv",
        "likelihood": mlvae_tf.likelihoods.Normal(scale=0.1),
    },
}
ROWS = 5
Arrays = dict[str, np.ndarray]


def make(settings):
    """A model whose weights are none that a layer starts with."""
    keras.utils.set_random_seed(0)
    model = mlvae_tf.MLVAE(**settings)
    generator = np.random.default_rng(0)
    for weights in model.weights:
        weights.assign_add(generator.normal(0, 0.1, weights.shape))
    return model


def requests(signatures) -> dict[str, Arrays]:
    """For every signature, a row or a group for each of five."""
    generator = np.random.default_rng(1)
    pixels = generator.integers(
        0, 256, (ROWS, *signatures.spec("encode")["observations"].shape[1:])
    )
    images = pixels.astype(np.float32) / np.float32(255)
    encoded = [tf.io.encode_png(one.astype(np.uint8)).numpy() for one in pixels]
    ids = np.array([b"ann", b"bob", b"ann", b"cy", b"bob"])

    def value(name, spec):
        if name == "images":
            return np.array(encoded, object)
        if spec.dtype == tf.string:
            return np.roll(ids, len(name))
        if name.endswith("observations"):
            return np.roll(images, len(name), axis=0)
        shape = [ROWS if size is None else size for size in spec.shape]
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)

    return {
        name: {key: value(key, spec) for key, spec in spec.items()}
        for name in signatures.names
        for spec in [signatures.spec(name)]
    }


def answers(model, signatures, asked: dict[str, Arrays]) -> dict[str, Arrays]:
    """What the live model says, `encode` and `decode` by its own methods."""
    found = {}
    for name, given in asked.items():
        tensors = {key: tf.constant(value) for key, value in given.items()}
        answer = getattr(signatures, name)(**tensors)
        found[name] = {key: np.asarray(part) for key, part in answer.items()}
    contents, style = model.encode(tf.constant(asked["encode"]["observations"]))
    by_name = contents if isinstance(contents, dict) else {"content": contents}
    for key, normal in {**by_name, "style": style}.items():
        found["encode"][f"{key}_loc"] = np.asarray(normal.loc)
        found["encode"][f"{key}_scale"] = np.asarray(normal.scale)
    latents = dict(asked["decode"])
    style = latents.pop("style")
    content = latents.get("content", latents)
    mean = model.decode(content, style).mean()
    found["decode"]["observations"] = np.asarray(mean)
    return found


def save(path, arrays: dict[str, Arrays]) -> None:
    def plain(value):  # Without pickles.
        return value.astype(bytes) if value.dtype == object else value

    flat = {
        f"{name}/{key}": plain(value)
        for name, of in arrays.items()
        for key, value in of.items()
    }
    np.savez(path, **flat)


def main() -> None:
    for name, settings in MODELS.items():
        folder = pathlib.Path(sys.argv[1], name)
        files.remove(folder)
        model = make(settings)
        serving.export(model, folder / "1", pictures=True)
        signatures = serving.Signatures(model, pictures=True)
        asked = requests(signatures)
        save(folder / "requests.npz", asked)
        save(folder / "answers.npz", answers(model, signatures, asked))


if __name__ == "__main__":
    main()
