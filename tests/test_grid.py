import io
import itertools

import numpy as np
import pytest
from PIL import Image

from mlvae_tf.evaluation.cells import colors_of
from mlvae_tf.evaluation.grid import grid


def square(shape, names=("ann", "bob", "eve")):
    """Light cells, but for the last one, under and beside grey originals."""
    cells = np.ones((2, 3, *shape))
    cells[1, 2] = 0
    return grid(
        cells,
        np.full((3, *shape), 0.5),
        np.full((2, *shape), 0.5),
        (list(names), ["", ""]),
        ("columns", "rows"),
    )


def grey(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("L"), int)


def test_the_dark_cell_is_where_it_belongs():
    pixels = grey(square((4, 4, 1)))
    dark = np.argwhere(pixels < 60)
    # The last row and column, but for the text, which is small.
    height, width = pixels.shape
    centre = np.median(dark, axis=0) / (height, width)
    assert centre[0] > 0.75
    assert centre[1] > 0.8


@pytest.mark.parametrize(
    "shape", [(4, 4, 3), (20,), (20, 2), (1,), (8, 8), (3, 8, 8), (8, 8, 5)]
)
def test_other_observations_can_be_drawn(shape):
    assert grey(square(shape)).std() > 1


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 40), (-3, 2)])
def test_values_are_drawn_from_black_to_white(low, high):
    """0 and 1, or as far as the originals go; what is not known, not at all."""
    cells = np.zeros((1, 3, 4, 4, 1))
    cells[0, 1], cells[0, 2] = low + 0.5 * (high - low), high
    top = np.full((3, 4, 4, 1), float(high))
    top[0], top[1, 0] = low, np.nan
    cells[0, 0] = low
    pixels = grey(grid(cells, top, None, (["", "", ""], [""]), ("", "")))
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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 3), (20,), (20, 2)])
def test_what_is_not_known_hides_nothing_else(shape):
    """Neither in the same observation, nor in the cells."""
    cells = np.zeros((1, 2, *shape))
    cells[0, 1, len(shape)] = 1
    names = ["", ""], [""]
    known = grey(grid(cells, [None, None], None, names, ("", "")))
    nothing = np.full(shape, np.nan)
    unknown = grey(grid(cells, [nothing, nothing], None, names, ("", "")))
    half = len(known) // 2
    assert known[half:].std() > 10
    bottom = slice(half + 9, None)
    np.testing.assert_array_equal(known[bottom], unknown[bottom])
    cells[0, 1].flat[0] = np.nan
    assert grey(grid(cells, None, None, names, ("", ""))).std() > 10


@pytest.mark.parametrize(
    ("names", "rotation"),
    [
        (["ann", "bob", "eve"], 0),
        (["WWWWWWWW", "WWWWWWWW", "WWWWWWWW"], 90),
        (["a long name at an end", "", "and at the other"], 0),
        (["a", "a long name in the middle", "b"], 90),
    ],
)
def test_names_do_not_run_into_each_other(texts, names, rotation):
    square((4, 4, 1), names)
    drawn = [text for text in texts if text.get_text() in filter(None, names)]
    assert {text.get_rotation() for text in drawn} == {rotation}
    boxes = [text.get_window_extent() for text in drawn]
    columns = sorted((box.x0, box.x1) for box in set(boxes))
    for (_, end), (start, _) in itertools.pairwise(columns):
        assert end < start


@pytest.mark.parametrize("channels", [2, 10, 12, 20])
def test_each_channel_has_a_colour_of_its_own(channels):
    assert len(set(colors_of(channels))) == channels
