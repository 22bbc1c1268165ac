"""A grid of observations, as a PNG picture."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from mlvae_tf.evaluation.cells import (
    CELL,
    MANY,
    Cell,
    Margin,
    colors_of,
    draw_cells,
    is_image,
    limits_of,
    offset,
    there,
)
from mlvae_tf.evaluation.names import as_it_stands

DPI = 110
PADDING = 0.1  # Inches around a figure.


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
    shown += [Cell(-1, n, part, True) for n, part in there(top)]
    shown += [Cell(n, -1, part, True) for n, part in there(left)]
    begin = (
        offset(0 if left is None else -1),
        offset(0 if top is None else -1),
    )
    end = offset(columns), offset(rows)
    width, height = np.subtract(end, begin) * CELL / DPI
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    draw_cells(axes, shown, limits_of(top, left, cells[framed]))
    axes.set(xlim=(begin[0], end[0]), ylim=(end[1], begin[1]), aspect="equal")
    _write_names(axes, names, labels)
    if not is_image(cells.shape[2:]):
        _name_channels(axes, math.prod(cells.shape[3:]))
    _turn(axes.get_xticklabels(), CELL / DPI * figure.dpi)
    return png(figure)


def _name_channels(axes: Axes, channels: int) -> None:
    """Say below the grid which line is which, where there are several."""
    if not 1 < channels <= MANY.N:
        return
    lines = [
        Line2D([], [], color=color, label=f"channel {number}")
        for number, color in enumerate(colors_of(channels))
    ]
    axes.legend(
        handles=lines,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=min(channels, 5),
        frameon=False,
    )


def _write_names(
    axes: Axes, names: tuple[list[str], list[str]], labels: tuple[str, str]
) -> None:
    """Write what is above each column and beside each row, and what it is."""
    above, beside = names
    axes.set_xticks([offset(i) + 0.5 for i in range(len(above))], above)
    axes.set_yticks([offset(i) + 0.5 for i in range(len(beside))], beside)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])


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
