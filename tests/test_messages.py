"""What is said of values, ids and shapes that people really have."""

import numpy as np
import pytest
import tensorflow as tf
from pictures import load

import mlvae_tf
from mlvae_tf import likelihoods
from mlvae_tf.data.pipeline import reader
from mlvae_tf.errors import InputError
from mlvae_tf.guards import as_input_error

BERNOULLI = likelihoods.Bernoulli()


@pytest.fixture
def arrays(tmp_path, generator):
    """Writes an archive of twelve images with some changes; its SPEC."""

    def write(**changed):
        given = {
            "observations": generator.uniform(size=(12, 8, 8, 1)),
            "group_ids": np.arange(12) % 3,
        }
        np.savez(tmp_path / "data.npz", **{**given, **changed})
        return f"npz:{tmp_path / 'data.npz'}"

    return write


@pytest.mark.parametrize(
    ("low", "high", "cure", "never"),
    [
        (0, 255, "Divide 8-bit images by 255", "16-bit"),
        (0, 4095, "Divide 16-bit images by 65535", "8-bit"),
        (-1, 1, "--likelihood=normal", "255"),
        (0, 1e6, "--likelihood=normal", "65535"),
        (-128, 127, "--likelihood=normal", "255"),
    ],
)
def test_the_cure_follows_the_values(
    arrays, make_model, low, high, cure, never
):
    values = np.linspace(low, high, 12 * 16).reshape(12, 4, 4, 1)
    with pytest.raises(InputError) as from_file:
        load(arrays(observations=values), BERNOULLI)
    model = make_model(dtype="float32")
    model.compile(optimizer="sgd")
    batch = {"observations": values, "group_ids": np.arange(12) % 3}
    with pytest.raises(InputError) as eager:
        model.infer_style(values)
    with pytest.raises(InputError) as in_graph:
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    for raised in (from_file, eager, in_graph):
        assert cure in str(raised.value)
        assert never not in str(raised.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_found_by_row(arrays, make_model, bad):
    values = np.linspace(0, 1, 12 * 16).reshape(12, 4, 4, 1)
    values[7, 3, 3] = bad
    spec = arrays(observations=values)
    words = rf"NaN or infinite values among .*from 0 to 1.* row 7 \({bad}\)"
    with pytest.raises(InputError, match=words):
        load(spec, BERNOULLI)
    with pytest.raises(InputError, match=r"row 7 .*--missing_values"):
        load(spec, BERNOULLI, memory_gb=0.0).train.values()
    model = make_model(dtype="float32")
    model.compile(optimizer="sgd")
    batch = {"observations": values, "group_ids": np.arange(12) % 3}
    with pytest.raises(InputError, match=words) as raised:
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    assert "nan to nan" not in str(raised.value)


def test_a_row_on_the_disk_is_the_datasets(arrays):
    """Not that of the batch, nor of what is trained on."""
    values = np.zeros((12, 8, 8, 1))
    values[7] = np.nan
    train = load(
        arrays(observations=values),
        BERNOULLI,
        memory_gb=0.0,
        holdout_groups=0.0,
    ).train
    some = train[np.array([3, 9, 7, 2])]
    read = reader(some)
    words = r"the first at row 7 \(nan\)"
    with pytest.raises(InputError, match=words), as_input_error():
        read(tf.constant([1, 2], tf.int64))


@pytest.mark.parametrize("bits", [">f8", "<f8", np.longdouble])
@pytest.mark.parametrize("memory_gb", [2.0, 0.0])
def test_beyond_float32(arrays, bits, memory_gb):
    spec = arrays(observations=np.full((12, 3), 1e60, bits))
    with pytest.raises(InputError, match=r"within float32.*up to 1e\+60"):
        load(spec, memory_gb=memory_gb).train.values()


def test_beyond_float32_in_python(make_model):
    model = make_model(dtype="float32", likelihood="normal")
    model.compile(optimizer="sgd")
    values = np.full((4, 4, 4, 1), 1e60)
    with pytest.raises(InputError, match="within float32"):
        model.infer_style(values)
    with pytest.raises(InputError, match="within float32"):
        model.fit({"observations": values, "group_ids": [0, 0, 1, 1]})


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_first(arrays, channels):
    spec = arrays(observations=np.zeros((12, channels, 9, 8), np.uint8))
    with pytest.raises(InputError, match=r"channels first.*np\.moveaxis"):
        load(spec, BERNOULLI)
    with pytest.warns(UserWarning, match=r"channels first.*np\.moveaxis"):
        model = mlvae_tf.MLVAE((channels, 9, 8), hidden_units=4)
    assert model.observation_shape == (channels, 9, 8)  # Maybe they are not.
    model = mlvae_tf.MLVAE((9, 8, channels), hidden_units=4)
    with pytest.raises(InputError, match=r"\[N, 9, 8, .*np\.moveaxis"):
        model.infer_style(np.zeros((2, channels, 9, 8)))


@pytest.mark.parametrize("shape", [(3, 4, 5), (9, 3, 3), (5, 6, 7), (1, 9, 1)])
def test_channels_that_may_well_be_last(arrays, shape):
    train = load(arrays(observations=np.zeros((12, *shape)))).train
    assert train.observations.shape[1:] == shape


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            np.arange(12) % 3 * 1.0,
            r"got float64\. Pass group_ids.astype\(int\)",
        ),
        (np.arange(12) % 2 == 0, r"got bool\. Pass group_ids.astype\(int\)"),
        (np.array([b"M\xfc"] * 12), r"not UTF-8, the first at row 0.*latin1"),
        (np.array(["a"] * 11 + ["\udcfc"]), r"not UTF-8, the first at row 11"),
    ],
)
def test_ids_that_are_none(arrays, ids, message):
    with pytest.raises(InputError, match=rf"npz:.*{message}"):
        load(arrays(group_ids=ids))


def test_ids_of_bytes_are_text(arrays):
    train = load(arrays(group_ids=np.array([b"a", "ü".encode()] * 6))).train
    assert sorted(set(train.group_ids.tolist())) == ["a", "ü"]


@pytest.mark.parametrize(
    ("likelihood", "values", "words"),
    [
        ("normal", 1e6, r"scale is 1: .* size.*--observation_scale"),
        ("normal", 1e-5, r"scale is 1: .* noise"),
        (likelihoods.Normal(1e-4), 1.0, "scale is 0.0001"),
        ("normal_learned_scale", 1e6, "--likelihood=normal"),
    ],
)
def test_values_far_from_the_likelihoods_scale(
    make_model, generator, likelihood, values, words
):
    observations = generator.normal(size=(12, 4, 4, 1)) * values
    batch = {"observations": observations, "group_ids": np.arange(12) % 3}
    model = make_model(likelihood=likelihood)
    model.compile(optimizer=mlvae_tf.model.keras.optimizers.SGD(0.0))
    with pytest.warns(UserWarning, match=words):
        model.fit(batch, verbose=0)


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_usual_values_are_no_matter(generator, scale):
    images = generator.uniform(size=(12, 4))
    assert likelihoods.Normal(scale).doubt(images) is None
    assert BERNOULLI.doubt(images) is None
