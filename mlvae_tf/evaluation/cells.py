"""Observations drawn into the cells of a picture: images, or lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.patches import Rectangle
from PIL import Image

CELL = 88  # Pixels from one to the next.
SIZE = 84  # Of them are drawn into.
GAP = 22  # Pixels between the originals and the grid.
FEW, MANY = colormaps["tab10"], colormaps["tab20"]  # Colours of channels.
ORIGINAL = "#d1571b"  # The frame of what was not decoded.

Limits = tuple[Any, Any]  # Numbers, or arrays of one per channel.
# One observation per cell, or None for an empty one; None for no margin.
Margin = Sequence[np.ndarray | None] | np.ndarray | None


class Cell(NamedTuple):
    """An observation to draw.

    Attributes:
        row: Of the grid; -1 is the margin's.
        column: Likewise.
        observation: As the model sees it.
        original: Whether to frame it.
    """

    row: int
    column: int
    observation: np.ndarray
    original: bool = False


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether an observation of this shape is drawn as an image."""
    return len(shape) == 3 and shape[-1] in (1, 3)


def offset(index: int) -> float:
    """Where a row or column begins, in cells; -1 is the margin's."""
    return 0 if index < 0 else index + 1 + GAP / CELL


def draw_cells(axes: Axes, cells: list[Cell], limits: Limits) -> None:
    """Draw observations into their cells: images, or a line per channel.

    All at once: an artist for each would take most of the time.
    """
    cells = [cell for cell in cells if np.isfinite(cell.observation).any()]
    if not cells:
        return
    draw = _draw_images if is_image(cells[0].observation.shape) else _draw_lines
    draw(axes, cells, limits)
    size = SIZE / CELL
    frames = [
        Rectangle((offset(cell.column), offset(cell.row)), size, size)
        for cell in cells
        if cell.original
    ]
    axes.add_collection(
        PatchCollection(
            frames, facecolor="none", edgecolor=ORIGINAL, lw=1.5, zorder=3
        )
    )


def _draw_images(axes: Axes, cells: list[Cell], limits: Limits) -> None:
    """Draw images, what is not known of them left as it is."""
    width = offset(max(cell.column for cell in cells)) + 1
    height = offset(max(cell.row for cell in cells)) + 1
    pixels = round(height * CELL), round(width * CELL)
    canvas = np.zeros((*pixels, 4), np.uint8)
    for cell in cells:
        left, top = (round(offset(at) * CELL) for at in (cell.column, cell.row))
        drawn = _pixels(cell.observation, limits)
        canvas[top : top + SIZE, left : left + SIZE] = drawn
    extent = 0, width, height, 0
    axes.imshow(canvas, extent=extent, interpolation="nearest")


def _pixels(image: np.ndarray, limits: Limits) -> np.ndarray:
    """An image in the size of a cell, uint8 `[SIZE, SIZE, 4]`."""
    known = np.isfinite(image).all(axis=-1, keepdims=True)
    values = np.where(known, (image - limits[0]) / np.ptp(limits), 0)
    colors = np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values
    values = np.concatenate([colors, known], axis=-1).clip(0, 1)
    small = Image.fromarray((255 * values).round().astype(np.uint8))
    # As matplotlib: pixels stay squares where they are large.
    large = all(SIZE % size == 0 or 3 * size < SIZE for size in small.size)
    how = Image.Resampling.NEAREST if large else Image.Resampling.HAMMING
    return np.asarray(small.resize((SIZE, SIZE), how))


def _draw_lines(axes: Axes, cells: list[Cell], limits: Limits) -> None:
    """Draw series."""
    size = SIZE / CELL
    lines, colors = [], []
    for cell in cells:
        series = series_of(cell.observation)
        series = (series - limits[0]) / (limits[1] - limits[0])
        series = np.clip(series, 0, 1)  # Beyond, it runs along the edge.
        left, top = offset(cell.column), offset(cell.row)
        steps = left + size * (0.04 + 0.92 * np.linspace(0, 1, len(series)))
        heights = top + size * (0.96 - 0.92 * series)
        lines += [np.stack([steps, line], axis=-1) for line in heights.T]
        colors += colors_of(series.shape[1])
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=0.8))


def series_of(observation: np.ndarray) -> np.ndarray:
    """A column per channel."""
    return observation.reshape(len(observation), -1).astype(float)


def colors_of(channels: int) -> list[Any]:
    """The colour of each channel's line."""
    if channels == 1:
        return ["#333"]
    colors = FEW if channels <= FEW.N else MANY
    return [colors(number % colors.N) for number in range(channels)]


def there(margin: Margin) -> list[tuple[int, np.ndarray]]:
    """The places and observations of a margin, empty cells left out."""
    parts = enumerate(() if margin is None else margin)
    return [(place, part) for place, part in parts if part is not None]


def limits_of(*margins: Margin) -> Limits:
    """What is drawn at either end of a scale that all cells share.

    Of images 0 and 1, or as far as originals go; of each channel of series as
    far as those go.
    """
    originals = [part for margin in margins for _, part in there(margin)]
    if originals and not is_image(originals[0].shape):
        channels = zip(*(series_of(part).T for part in originals))
        ranges = np.array([_range(list(parts)) for parts in channels])
        low, high = ranges.T
        return low, np.maximum(high, low + 1e-12)
    low, high = _range(originals)
    return min(low, 0.0), max(high, 1.0)


def _range(observations: Sequence[np.ndarray]) -> tuple[float, float]:
    """The least and the greatest value known; 0 and 1 where none is."""
    known = [part[np.isfinite(part)] for part in observations]
    low = min((float(part.min()) for part in known if part.size), default=0.0)
    high = max((float(part.max()) for part in known if part.size), default=1.0)
    return low, high
