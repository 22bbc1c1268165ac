import io

import numpy as np
import pytest
from PIL import Image

from mlvae_tf.data.grouping import GroupedData
from mlvae_tf.evaluation import figures, report


def grid(shape, **kwargs):
    cells = np.zeros((2, 3, *shape))
    cells[1, 2] = 1
    picture = figures.grid(
        cells,
        np.full((3, *shape), 0.5),
        np.full((2, *shape), 0.5),
        ["ann", "bob", "eve"],
        ("columns", "rows"),
        **kwargs,
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


def test_swap_grid_of_many_groups(make_model, generator):
    data = GroupedData(
        generator.uniform(size=(60, 4, 4, 1)), np.repeat(np.arange(20), 3)
    )
    picture = figures.swap_grid(make_model(), data, max_groups=4)
    size = Image.open(io.BytesIO(picture)).size
    assert 0.8 < size[0] / size[1] < 1.25


def test_tables_line_up():
    rows = [["what", "n"], ["content", "1.0"], ["style", "10.25"]]
    assert report.format_table(rows).splitlines() == [
        "what         n",
        "--------------",
        "content    1.0",
        "style    10.25",
    ]
