"""A grid of observations, as a PNG picture."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from mlvae_tf.evaluation.names import as_it_stands

CELL = 0.8  # Inches.
GAP = 0.3  # Between the originals and the grid, in cells.
FEW, MANY = colormaps["tab10"], colormaps["tab20"]  # Colours of channels.
ORIGINAL = "#d1571b"  # The frame of what was not decoded.
IMAGE, SERIES = 64, 192  # Pixels of a sprite's cell, its longer side at most.
PALETTE = 64  # Colours of a sprite of series.

# One observation per cell, or None for an empty one; None for no margin.
Limits = tuple[Any, Any]  # Numbers, or arrays of one per channel.
Margin = Sequence[np.ndarray | None] | np.ndarray | None


def png(figure: Figure) -> bytes:
    """A figure as a PNG picture, its texts drawn as they stand."""
    for text in figure.findobj(Text):
        as_it_stands(text)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether an observation of this shape is drawn as an image."""
    return len(shape) == 3 and shape[-1] in (1, 3)


def _offset(index: int) -> float:
    """Where a row or column begins, in cells; -1 is the margin's."""
    return 0 if index < 0 else index + 1 + GAP


def _draw(
    axes: Axes,
    row: int,
    column: int,
    observation: np.ndarray | None,
    limits: Limits,
    original: bool = False,
) -> None:
    """Draw an observation into its cell: an image, or a line per channel."""
    if observation is None or np.isnan(observation).all():
        return
    left, top, size = _offset(column), _offset(row), 0.96
    if original:
        frame = Rectangle(
            (left, top), size, size, fill=False, edgecolor=ORIGINAL, lw=1.5
        )
        axes.add_patch(frame).set_zorder(3)
    if is_image(observation.shape):
        image = np.clip((observation - limits[0]) / np.ptp(limits), 0, 1)
        if image.shape[-1] == 1:
            image = np.repeat(image, 3, axis=-1)
        axes.imshow(image, extent=(left, left + size, top + size, top))
        return
    series = _series(observation)
    series = (series - limits[0]) / (limits[1] - limits[0])
    series = np.clip(series, 0, 1)  # What leaves the cell runs along its edge.
    steps = left + size * (0.04 + 0.92 * np.linspace(0, 1, len(series)))
    heights = top + size * (0.96 - 0.92 * series)
    for line, color in zip(heights.T, _colors(series.shape[1])):
        axes.plot(steps, line, linewidth=0.8, color=color)


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


def _limits(*margins: Margin) -> Limits:
    """What is drawn at either end of a scale that all cells share.

    Of images 0 and 1, or as far as originals go; of each channel of series as
    far as those go.
    """
    originals = [
        part
        for margin in margins
        for part in (() if margin is None else margin)
        if part is not None
    ]
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
    width, height = _offset(columns), _offset(rows)
    figure = Figure(figsize=(CELL * width, CELL * height))
    axes = figure.add_axes((0, 0, 1, 1))
    if framed is None:
        framed = np.zeros((rows, columns), bool)
    limits = _limits(top, left, cells[framed])
    for column in range(columns):
        if top is not None:
            _draw(axes, -1, column, top[column], limits, original=True)
        for row in range(rows):
            original = bool(framed[row, column])
            _draw(axes, row, column, cells[row, column], limits, original)
    if left is not None:
        for row in range(rows):
            _draw(axes, row, -1, left[row], limits, original=True)
    axes.set(
        xlim=(0 if left is not None else _offset(0), width),
        ylim=(height, 0 if top is not None else _offset(0)),
        aspect="equal",
    )
    _write_names(axes, names, labels)
    if not is_image(cells.shape[2:]):
        _name_channels(axes, math.prod(cells.shape[3:]))
    _turn(axes.get_xticklabels(), CELL * figure.dpi)
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
    for number, observation in enumerate(cells):
        _draw(axes, *divmod(number, columns), observation, limits)
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
