"""What the sliders of a report show is what the model decodes."""

import io

import numpy as np
import pytest
from PIL import Image

import mlvae_tf
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import explorer
from mlvae_tf.evaluation.sprites import SERIES, cell_size


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def cell(found, *positions):
    """The picture at these positions, found as the page's script does."""
    number = 0
    for axis, position in zip(found.axes, positions, strict=True):
        number = number * axis.positions + position
    row, column = divmod(number, found.axes[-1].positions)
    width, height = found.size
    return opened(found.pictures)[
        row * height : (row + 1) * height, column * width : (column + 1) * width
    ]


def pixels(image):
    return np.repeat((np.clip(image, 0, 1) * 255).round(), 3, axis=-1)


@pytest.fixture
def data(generator):
    images = generator.uniform(size=(24, 4, 4, 1)).astype(np.float32)
    return GroupedData.of(images, np.repeat(["a", "b", "c", "<d>"], 6))


def test_the_ends_are_swaps_and_between_them_lie_lines(make_model, data):
    model = make_model(dtype="float32")
    found = explorer.explore(model, data)
    content, style = found.axes
    assert content.labels == ["<d>", "a", "b", "c"]
    assert style.labels == ["<d>, no. 24", "a, no. 6", "b, no. 12", "c, no. 18"]
    assert content.positions == style.positions == 13
    of_b, of_c = data.values(np.arange(6, 12)), data.values(np.arange(12, 18))
    expected = mlvae_tf.control.swap(model, of_b, of_c[-1:])[0]
    at = 2 * content.steps, 3 * style.steps
    np.testing.assert_allclose(cell(found, *at), pixels(expected), atol=1)
    # Half way from the content of b to that of c, with the style of c.
    halves = [
        model.infer_content(of, np.zeros(6, int))[1].loc for of in (of_b, of_c)
    ]
    last = model.infer_style(of_c[-1:]).loc
    middle = model.decode((halves[0] + halves[1]) / 2, last).mean()[0]
    at = 2 * content.steps + content.steps // 2, 3 * style.steps
    np.testing.assert_allclose(cell(found, *at), pixels(middle), atol=1)
    # The originals: the first of a group for its content, the last for a style.
    first, last = opened(content.originals[2]), opened(style.originals[2])
    np.testing.assert_allclose(first, pixels(of_b[0]), atol=1)
    np.testing.assert_allclose(last, pixels(of_b[-1]), atol=1)


def test_of_several_levels_each_has_a_slider(make_model, generator):
    people, lights = np.divmod(np.arange(24) // 2, 4)
    images = generator.uniform(size=(24, 6, 3, 3)).astype(np.float32)
    data = GroupedData.of(images, {"person": people, "light": lights})
    model = make_model(
        observation_shape=(6, 3, 3),
        levels={"person": 2, "light": 2},
        style_dim=0,
        dtype="float32",
    )
    found = explorer.explore(model, data)
    assert [axis.name for axis in found.axes] == ["person", "light"]
    assert [len(axis.labels) for axis in found.axes] == [3, 4]
    assert found.size == (3, 6)
    sources = {
        "person": images[people == 2],
        "light": images[lights == 1][:10],
    }
    expected = mlvae_tf.control.combine(model, sources, images[:1])[0]
    at = 2 * found.axes[0].steps, 1 * found.axes[1].steps
    shown = np.clip(expected, 0, 1) * 255
    np.testing.assert_allclose(cell(found, *at), shown, atol=1)


def test_series_are_drawn_as_lines(generator):
    model = mlvae_tf.MLVAE((20, 2), 2, 2, hidden_units=4, seed=0)
    series = generator.uniform(size=(6, 20, 2)).astype(np.float32)
    found = explorer.explore(model, GroupedData.of(series, np.arange(6) % 2))
    assert found.size == (SERIES, SERIES)
    assert not found.of_images
    one = cell(found, 0, found.axes[1].positions - 1)
    assert one.shape == (SERIES, SERIES, 3)
    assert 0.5 < np.mean(one == 255) < 1  # Lines on white.


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((28, 28, 1), 2), ((300, 200, 3), 2), ((64, 64, 3), 3), ((100, 3), 2)],
)
def test_there_are_not_too_many_pictures(shape, axes):
    groups, steps = explorer.fineness(axes, shape)
    count = ((groups - 1) * steps + 1) ** axes
    assert 50 < count <= explorer.MAX_PICTURES
    width, height = cell_size(shape)
    assert count * width * height <= explorer.MAX_PIXELS
    if len(shape) == 3:  # Images keep their form.
        assert width / height == pytest.approx(shape[1] / shape[0], rel=0.05)


def test_one_observation_leaves_nothing_to_slide_between(make_model, data):
    model = make_model(dtype="float32")
    assert explorer.explore(model, data[:1]) is None
    single = explorer.explore(model, data[np.arange(0, 24, 6)][:2])
    assert [axis.positions > 1 for axis in single.axes] == [True, True]
