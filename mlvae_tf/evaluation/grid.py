"""A grid of observations, as a PNG picture."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from mlvae_tf.evaluation.names import as_it_stands

DPI = 110
CELL = 88  # Pixels from one to the next.
SIZE = 84  # Of them are drawn into.
GAP = 22  # Pixels between the originals and the grid.
PADDING = 0.1  # Inches around a figure.
FEW, MANY = colormaps["tab10"], colormaps["tab20"]  # Colours of channels.
ORIGINAL = "#d1571b"  # The frame of what was not decoded.
IMAGE, SERIES = 64, 192  # Pixels of a sprite's cell, its longer side at most.
PALETTE = 64  # Colours of a sprite of series.

# One observation per cell, or None for an empty one; None for no margin.
Limits = tuple[Any, Any]  # Numbers, or arrays of one per channel.
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


def png(figure: Figure) -> bytes:
    """A figure as a PNG picture, its texts drawn as they stand."""
    for text in figure.findobj(Text):
        as_it_stands(text)
    buffer = io.BytesIO()
    box: Any = "tight"
    if figure.get_layout_engine() is None:
        # Nothing is to be laid out, for which all would be drawn once more.
        figure.set_dpi(DPI)
        renderer = FigureCanvasAgg(figure).get_renderer()
        box = figure.get_tightbbox(renderer).padded(PADDING)
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches=box)
    return buffer.getvalue()


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether an observation of this shape is drawn as an image."""
    return len(shape) == 3 and shape[-1] in (1, 3)


def _offset(index: int) -> float:
    """Where a row or column begins, in cells; -1 is the margin's."""
    return 0 if index < 0 else index + 1 + GAP / CELL


def _draw(axes: Axes, cells: list[Cell], limits: Limits) -> None:
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
        Rectangle((_offset(cell.column), _offset(cell.row)), size, size)
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
    width = _offset(max(cell.column for cell in cells)) + 1
    height = _offset(max(cell.row for cell in cells)) + 1
    pixels = round(height * CELL), round(width * CELL)
    canvas = np.zeros((*pixels, 4), np.uint8)
    for cell in cells:
        left, top = (
            round(_offset(at) * CELL) for at in (cell.column, cell.row)
        )
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
        series = _series(cell.observation)
        series = (series - limits[0]) / (limits[1] - limits[0])
        series = np.clip(series, 0, 1)  # Beyond, it runs along the edge.
        left, top = _offset(cell.column), _offset(cell.row)
        steps = left + size * (0.04 + 0.92 * np.linspace(0, 1, len(series)))
        heights = top + size * (0.96 - 0.92 * series)
        lines += [np.stack([steps, line], axis=-1) for line in heights.T]
        colors += _colors(series.shape[1])
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=0.8))


def _series(observation: np.ndarray) -> np.ndarray:
    """A column per channel."""
    return observation.reshape(len(observation), -1).astype(float)


def _colors(channels: int) -> list[Any]:
    if channels == 1:
        return ["#333"]
    colors = FEW if channels <= FEW.N else MANY
    return [colors(number % colors.N) for number in range(channels)]


def _name_channels(axes: Axes, channels: int) -> None:
    """Say below the grid which line is which, where there are several."""
    if not 1 < channels <= MANY.N:
        return
    lines = [
        Line2D([], [], color=color, label=f"channel {number}")
        for number, color in enumerate(_colors(channels))
    ]
    axes.legend(
        handles=lines,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=min(channels, 5),
        frameon=False,
    )


def _there(margin: Margin) -> list[tuple[int, np.ndarray]]:
    """The places and observations of a margin, empty cells left out."""
    parts = enumerate(() if margin is None else margin)
    return [(place, part) for place, part in parts if part is not None]


def _limits(*margins: Margin) -> Limits:
    """What is drawn at either end of a scale that all cells share.

    Of images 0 and 1, or as far as originals go; of each channel of series as
    far as those go.
    """
    originals = [part for margin in margins for _, part in _there(margin)]
    if originals and not is_image(originals[0].shape):
        channels = zip(*(_series(part).T for part in originals))
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


def grid(
    cells: np.ndarray,
    top: Margin,
    left: Margin,
    names: tuple[list[str], list[str]],
    labels: tuple[str, str],
    framed: np.ndarray | None = None,
) -> bytes:
    """A grid of observations with originals, framed, on its margins.

    Args:
        cells: `[rows, columns, *observation_shape]`.
        top: One per column, or None; `[columns, *observation_shape]`.
        left: One per row, or None.
        names: What to write above each column and beside each row.
        labels: What the columns and the rows are.
        framed: `[rows, columns]`, which cells are originals too.

    Returns:
        A PNG picture.
    """
    rows, columns = cells.shape[:2]
    if framed is None:
        framed = np.zeros((rows, columns), bool)
    shown = [
        Cell(row, column, cells[row, column], bool(framed[row, column]))
        for row in range(rows)
        for column in range(columns)
    ]
    shown += [Cell(-1, n, part, True) for n, part in _there(top)]
    shown += [Cell(n, -1, part, True) for n, part in _there(left)]
    begin = (
        _offset(0 if left is None else -1),
        _offset(0 if top is None else -1),
    )
    end = _offset(columns), _offset(rows)
    width, height = np.subtract(end, begin) * CELL / DPI
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    _draw(axes, shown, _limits(top, left, cells[framed]))
    axes.set(xlim=(begin[0], end[0]), ylim=(end[1], begin[1]), aspect="equal")
    _write_names(axes, names, labels)
    if not is_image(cells.shape[2:]):
        _name_channels(axes, math.prod(cells.shape[3:]))
    _turn(axes.get_xticklabels(), CELL / DPI * figure.dpi)
    return png(figure)


def _write_names(
    axes: Axes, names: tuple[list[str], list[str]], labels: tuple[str, str]
) -> None:
    """Write what is above each column and beside each row, and what it is."""
    above, beside = names
    axes.set_xticks([_offset(i) + 0.5 for i in range(len(above))], above)
    axes.set_yticks([_offset(i) + 0.5 for i in range(len(beside))], beside)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])


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
    limits, rows = _limits(originals), math.ceil(len(cells) / columns)
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
    _draw(axes, shown, limits)
    axes.set(
        xlim=(_offset(0), _offset(columns)),
        ylim=(_offset(rows), _offset(0)),
        xticks=[],
        yticks=[],
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    return _saved(picture.quantize(PALETTE))


def _turn(labels: Sequence[Text], apart: float) -> None:
    """Write labels upwards if they would run into each other.

    Args:
        labels: From left to right.
        apart: How far their middles are, in pixels.
    """
    for label in labels:
        as_it_stands(label)
    widths = [label.get_window_extent().width for label in labels]
    if any(
        left and right and left + right > 1.9 * apart
        for left, right in itertools.pairwise(widths)
    ):
        for label in labels:
            label.set_rotation(90)
