import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("PYTHONUNBUFFERED", None)  # Scripts run as they do for a user.

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

import mlvae_tf
from mlvae_tf import files, serving
from mlvae_tf.evaluation import names
from mlvae_tf.runs import config, training


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _fixed_seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def batch(generator):
    """Five ragged groups of small binary-ish images, in no order."""
    observations = generator.uniform(size=(12, 4, 4, 1))
    group_ids = np.array(list("bacabbdeaabd"))
    return {"observations": observations, "group_ids": group_ids}


@pytest.fixture
def make_model():
    """A small float64 model; keyword arguments override."""

    def make(**kwargs):
        settings = {
            "observation_shape": (4, 4, 1),
            "content_dim": 3,
            "style_dim": 2,
            "hidden_units": 8,
            "seed": 1,
            "dtype": "float64",
        }
        return mlvae_tf.MLVAE(**{**settings, **kwargs})

    return make


@pytest.fixture
def exact_model(make_model):
    """Reads and draws the first two values by person and by light."""

    def make(person_draws_light=0.0):
        model = make_model(
            observation_shape=(4,),
            levels={"person": 1, "light": 1},
            trunk="linear",
            likelihood="normal",
            dtype="float32",
        )
        model.encoder.layers[-1].set_weights([np.eye(4), np.zeros(4)])
        for number, head in enumerate(model.codec.heads.values()):
            kernel = np.zeros(head.kernel.shape)
            bias = np.zeros(head.bias.shape)
            kernel[number, 0] = 1
            bias[len(bias) // 2 :] = -4  # Of the scales.
            head.set_weights([kernel, bias])
        drawn = np.eye(4)
        drawn[0, 1] = person_draws_light
        model.decoder.layers[0].set_weights([drawn, np.zeros(4)])
        return model

    return make


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Three groups of twelve 8x8 images that differ in where they are dark."""
    path = tmp_path_factory.mktemp("data") / "data.npz"
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 0.2, size=(36, 8, 8, 1))
    ids = np.repeat(["left", "mid", "right"], 12)
    for group, column in (("left", 0), ("mid", 3), ("right", 6)):
        images[ids == group, :, column : column + 2] += 0.7
    np.savez(path, observations=images, group_ids=ids)
    return f"npz:{path}"


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """The folder of a run on some 4x4 images of ragged groups, untrained."""

    def make(groups, seed=0, **settings):
        folder = tmp_path_factory.mktemp("run")
        generator = np.random.default_rng(seed)
        images = generator.integers(0, 256, (50, 4, 4, 1), np.uint8)
        group_ids = generator.choice(np.array(groups), len(images))
        np.savez(folder / "data.npz", observations=images, group_ids=group_ids)
        keras.utils.set_random_seed(seed)
        model = mlvae_tf.MLVAE((4, 4, 1), 3, 2, hidden_units=8, **settings)
        for weights in model.weights:  # Without zeros, to be no easy case.
            weights.assign_add(generator.normal(0, 0.3, weights.shape))
        model.save(folder / "model.keras")
        serving.export(model, folder / "export" / "1")
        settings = config.Config().replace(
            {"dataset": f"npz:{folder / 'data.npz'}"}
        )
        record = training.run_record(settings)
        files.write_json(folder / "config.json", record)
        return folder

    return make


@pytest.fixture
def fonts(monkeypatch):
    """The list of installed fonts: those that Matplotlib brings itself."""
    bundled = [
        entry
        for entry in font_manager.fontManager.ttflist
        if entry.fname.startswith(matplotlib.get_data_path())
    ]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", bundled)
    names._other_fonts.cache_clear()
    yield bundled
    names._other_fonts.cache_clear()


@pytest.fixture
def strange_names(fonts):
    """Names of groups, and what is drawn for them without more fonts."""
    return {
        "US$1_bill_$": "US$1_bill_$",
        "$": "$",
        "\\frac{1}{2}": "\\frac{1}{2}",
        "_hidden": "_hidden",
        "a\0b\nc\td": "a\\x00b\\nc\\td",
        "M\udcfcller": "M\\udcfcller",
        "\U0001f600 \U0001f9ff": "\U0001f600 :nazar_amulet:",
        "x" * 200: "xxxxxxxxxxxx\u2026xxxxxxxxxxx",
        "<b>": "<b>",
        "\u7ae0\u4f1f": "ZhangWei",
        "\u5f20\u4f1f": "ZhangWei (2)",
    }


@pytest.fixture
def texts(monkeypatch):
    """The texts of all figures that are saved from here on."""
    found = []
    save = Figure.savefig

    def recording(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        drawn = figure.findobj(Text)
        found.extend(t for t in drawn if t.get_text() and t.get_visible())

    monkeypatch.setattr(Figure, "savefig", recording)
    return found
