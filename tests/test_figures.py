import io

import numpy as np
import pytest
from PIL import Image

import mlvae_tf
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import figures


def grid(shape):
    cells = np.ones((2, 3, *shape))
    cells[1, 2] = 0
    picture = figures.grid(
        cells,
        np.full((3, *shape), 0.5),
        np.full((2, *shape), 0.5),
        (["ann", "bob", "eve"], ["", ""]),
        ("columns", "rows"),
    )
    return Image.open(io.BytesIO(picture)).convert("L")


def test_the_dark_cell_is_where_it_belongs():
    pixels = np.asarray(grid((4, 4, 1)))
    dark = np.argwhere(pixels < 60)
    # The last row and column, but for the text, which is small.
    height, width = pixels.shape
    centre = np.median(dark, axis=0) / (height, width)
    assert centre[0] > 0.75
    assert centre[1] > 0.8


@pytest.mark.parametrize("shape", [(4, 4, 3), (20,), (20, 2)])
def test_other_observations_can_be_drawn(shape):
    pixels = np.asarray(grid(shape))
    assert pixels.std() > 1


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 40), (-3, 2)])
def test_values_are_drawn_from_black_to_white(low, high):
    """0 and 1, or as far as the originals go; what is not known, not at all."""
    cells = np.zeros((1, 3, 4, 4, 1))
    cells[0, 1], cells[0, 2] = low + 0.5 * (high - low), high
    top = np.full((3, 4, 4, 1), float(high))
    top[0], top[1, 0] = low, np.nan
    cells[0, 0] = low
    picture = figures.grid(cells, top, None, (["", "", ""], [""]), ("", ""))
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("L"), int)
    height, width = pixels.shape
    shades = [
        np.median(
            pixels[
                int(0.7 * height) : int(0.8 * height),
                int(at * width) : int((at + 0.05) * width),
            ]
        )
        for at in (0.15, 0.48, 0.8)
    ]
    np.testing.assert_allclose(shades, [0, 127.5, 255], atol=2)


def test_swap_grid_of_many_groups(make_model, generator):
    data = GroupedData.of(
        generator.uniform(size=(60, 4, 4, 1)), np.repeat(np.arange(20), 3)
    )
    picture = figures.swap_grid(make_model(), data, max_groups=4)
    size = Image.open(io.BytesIO(picture)).size
    assert 0.8 < size[0] / size[1] < 1.25


def framed(picture):
    """Where the orange frames of originals are, in shares of the picture."""
    image = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), int)
    distance = np.abs(image - [0xD1, 0x57, 0x1B]).sum(-1)
    return np.argwhere(distance < 30) / image.shape[:2]


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 3), (20,), (20, 2)])
def test_pictures_of_control_mark_the_originals(shape, generator):
    model = mlvae_tf.MLVAE(shape, 2, 2, hidden_units=4, seed=0)
    data = GroupedData.of(
        generator.uniform(size=(24, *shape)).astype(np.float32),
        np.repeat(["ann", "bob", "eve", "joe"], 6),
    )
    swap = framed(figures.swap_grid(model, data))
    assert (swap.min(0) < 0.2).all()
    assert (swap.max(0) > 0.8).all()
    # Interpolation: two originals on each margin, none in the middle of one.
    ends = framed(figures.interpolation_grid(model, data, steps=6))
    assert len(ends)
    middle = (ends > 0.45) & (ends < 0.6)
    assert not middle.any()
    left = framed(figures.generation_grid(model, data))
    assert left[:, 1].max() < 0.3
    assert left[:, 0].max() < 0.7  # The last rows are from the prior.
    above = framed(figures.reconstruction_grid(model, data))
    assert above[:, 0].max() < 0.6
    assert above[:, 1].max() > 0.9


def test_interpolation_begins_and_ends_at_reconstructions(
    make_model, generator
):
    """What the picture shows at its corners is what the API says."""
    model = make_model(dtype="float32")
    data = generator.uniform(size=(2, 4, 4, 1)).astype(np.float32)
    cells = mlvae_tf.control.interpolate(model, data[:1], data[1:], 3)
    expected = mlvae_tf.control.reconstruct(model, data, np.array([0, 1]))
    np.testing.assert_allclose(cells[0, 0], expected[0], atol=1e-6)
    np.testing.assert_allclose(cells[2, 2], expected[1], atol=1e-6)


def test_a_swap_may_take_the_content_of_one_observation(make_model, generator):
    model = make_model()
    images = generator.uniform(size=(9, 4, 4, 1))
    other = images.copy()
    other[1::3] = 0  # Neither the first of a group, nor the last: its style.
    pictures = [
        figures.swap_grid(
            model,
            GroupedData.of(observations, np.repeat(np.arange(3), 3)),
            evidence_count=count,
        )
        for count in (1, 10)
        for observations in (images, other)
    ]
    assert pictures[0] == pictures[1]
    assert pictures[2] != pictures[3]
