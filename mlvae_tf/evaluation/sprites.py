"""Observations in one picture without names, frames or gaps."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mlvae_tf.evaluation.cells import (
    Cell,
    Limits,
    draw_cells,
    is_image,
    limits_of,
    offset,
)

IMAGE, SERIES = 64, 192  # Pixels of a sprite's cell, its longer side at most.
PALETTE = 64  # Colours of a sprite of series.


def cell_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height in pixels of such an observation in a sprite."""
    if not is_image(shape):
        return SERIES, SERIES
    height, width = shape[:2]
    shrink = min(1.0, IMAGE / max(height, width))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def sprite(
    cells: np.ndarray, columns: int, originals: Sequence[np.ndarray]
) -> bytes:
    """Observations row by row in one picture, without names, frames or gaps.

    Args:
        cells: `[N, *observation_shape]`.
        columns: Of the picture.
        originals: Whose values are the ends of the scale.

    Returns:
        A PNG picture; its cells are of `cell_size`.
    """
    width, height = cell_size(cells.shape[1:])
    limits, rows = limits_of(originals), math.ceil(len(cells) / columns)
    if not is_image(cells.shape[1:]):
        return _lines(cells, columns, limits)
    values = (cells - limits[0]) / np.ptp(limits)
    pixels = (np.nan_to_num(values, nan=1.0).clip(0, 1) * 255).round()
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    picture = Image.new(
        "L" if pixels.ndim == 3 else "RGB", (columns * width, rows * height)
    )
    for number, image in enumerate(pixels.astype(np.uint8)):
        row, column = divmod(number, columns)
        small = Image.fromarray(image).resize((width, height))
        picture.paste(small, (column * width, row * height))
    return _saved(picture)


def _saved(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _lines(cells: np.ndarray, columns: int, limits: Limits) -> bytes:
    """A sprite of series."""
    rows = math.ceil(len(cells) / columns)
    figure = Figure(figsize=(columns, rows), dpi=SERIES)
    axes = figure.add_axes((0, 0, 1, 1), frame_on=False)
    shown = [
        Cell(*divmod(number, columns), observation)
        for number, observation in enumerate(cells)
    ]
    draw_cells(axes, shown, limits)
    axes.set(
        xlim=(offset(0), offset(columns)),
        ylim=(offset(rows), offset(0)),
        xticks=[],
        yticks=[],
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    return _saved(picture.quantize(PALETTE))
