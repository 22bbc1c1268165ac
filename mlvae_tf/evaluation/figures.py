"""Figures, as PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlvae_tf.data.grouping import GroupedData, scale

if TYPE_CHECKING:
    from mlvae_tf.model import MLVAE

CELL = 0.8  # Inches.
GAP = 0.3  # Between the originals and the grid, in cells.


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[-1] in (1, 3)


def _offset(index: int) -> float:
    """Where a row or column begins, in cells; -1 is the margin's."""
    return 0 if index < 0 else index + 1 + GAP


def _draw(axes: Axes, row: int, column: int, observation: np.ndarray) -> None:
    """Draw an observation into its cell: an image, or a line a channel."""
    left, top, size = _offset(column), _offset(row), 0.96
    if _is_image(observation.shape):
        image = np.clip(observation, 0, 1)
        if image.shape[-1] == 1:
            image = 1 - np.repeat(image, 3, axis=-1)
        axes.imshow(image, extent=(left, left + size, top + size, top))
        return
    series = observation.reshape(len(observation), -1).astype(float)
    series -= series.min()
    series /= max(series.max(), 1e-12)
    steps = left + size * np.linspace(0, 1, len(series))
    axes.plot(steps, top + size * (1 - series), linewidth=0.8)


def grid(
    cells: np.ndarray,
    top: np.ndarray,
    left: np.ndarray,
    names: list[str],
    labels: tuple[str, str],
) -> bytes:
    """A grid of observations with originals on its upper and left margins.

    Args:
        cells: `[rows, columns, *observation_shape]`.
        top: `[columns, *observation_shape]`.
        left: `[rows, *observation_shape]`.
        names: What to write above each column.
        labels: What the columns and the rows are.

    Returns:
        A PNG picture.
    """
    rows, columns = cells.shape[:2]
    width, height = _offset(columns), _offset(rows)
    figure = Figure(figsize=(CELL * width, CELL * height))
    axes = figure.add_axes((0, 0, 1, 1))
    for column, observation in enumerate(top):
        _draw(axes, -1, column, observation)
    for row, observation in enumerate(left):
        _draw(axes, row, -1, observation)
        for column in range(columns):
            _draw(axes, row, column, cells[row, column])
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", yticks=[])
    axes.set_xticks([_offset(i) + 0.5 for i in range(columns)], names)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    return _png(figure)


def swap_grid(
    model: MLVAE,
    data: GroupedData,
    max_groups: int = 10,
    evidence_count: int = 10,
) -> bytes:
    """Every content with every style: rows share a style, columns a content.

    Args:
        model: A model.
        data: Observations; each chosen group gives its content and, with one
            observation, a style. Both originals are shown on the margins.
        max_groups: Groups to show.
        evidence_count: Observations of a group that its content accumulates.

    Returns:
        A PNG picture.
    """
    groups = np.unique(data.group_ids)
    chosen = np.linspace(0, len(groups) - 1, min(max_groups, len(groups)))
    groups = groups[chosen.round().astype(int)]
    members = [np.flatnonzero(data.group_ids == group) for group in groups]
    donors = data[np.concatenate([rows[:evidence_count] for rows in members])]
    first = scale(data.observations[[rows[0] for rows in members]])
    last = scale(data.observations[[rows[-1] for rows in members]])
    observations = scale(donors.observations)
    _, content = model.infer_content(observations, donors.group_ids)
    style = model.infer_style(last)
    count = len(groups)
    swapped = model.decode(
        tf.tile(content.loc, [count, 1]), tf.repeat(style.loc, count, axis=0)
    ).mean()
    return grid(
        swapped.numpy().reshape(count, count, *model.observation_shape),
        first.numpy(),
        last.numpy(),
        [str(group) for group in groups],
        ("content of the group", "style of the observation"),
    )
