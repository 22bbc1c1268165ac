"""Grids of observations, as PNG: swap, interpolate, generate, reconstruct."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mlvae_tf import control, noise
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.model import MLVAE

CELL = 0.8  # Inches.
GAP = 0.3  # Between the originals and the grid, in cells.
ORIGINAL = "#d1571b"  # The frame of what was not decoded.

# An observation a cell, or None for an empty one; None for no margin.
Margin = Sequence[np.ndarray | None] | np.ndarray | None


def png(figure: Figure) -> bytes:
    """A figure as a PNG picture."""
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
    limits: tuple[float, float],
    original: bool = False,
) -> None:
    """Draw an observation into its cell: an image, or a line a channel."""
    if observation is None:
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
    series = observation.reshape(len(observation), -1).astype(float)
    series -= series.min()
    series /= max(series.max(), 1e-12)
    steps = left + size * (0.04 + 0.92 * np.linspace(0, 1, len(series)))
    axes.plot(
        steps, top + size * (0.96 - 0.92 * series), linewidth=0.8, color="#333"
    )


def _limits(*margins: Margin) -> tuple[float, float]:
    """What is drawn black and white: 0 and 1, or as far as originals go."""
    originals = [
        part
        for margin in margins
        for part in (() if margin is None else margin)
        if part is not None
    ]
    low = min((float(np.nanmin(part)) for part in originals), default=0.0)
    high = max((float(np.nanmax(part)) for part in originals), default=1.0)
    return min(low, 0.0), max(high, 1.0)


def grid(
    cells: np.ndarray,
    top: Margin,
    left: Margin,
    names: tuple[list[str], list[str]],
    labels: tuple[str, str],
    original_rows: tuple[int, ...] = (),
) -> bytes:
    """A grid of observations with originals, framed, on its margins.

    Args:
        cells: `[rows, columns, *observation_shape]`.
        top: One a column, or None; `[columns, *observation_shape]`.
        left: One a row, or None.
        names: What to write above each column and beside each row.
        labels: What the columns and the rows are.
        original_rows: Rows of the grid that are originals too.

    Returns:
        A PNG picture.
    """
    rows, columns = cells.shape[:2]
    width, height = _offset(columns), _offset(rows)
    figure = Figure(figsize=(CELL * width, CELL * height))
    axes = figure.add_axes((0, 0, 1, 1))
    limits = _limits(top, left, cells[list(original_rows)])
    for column in range(columns):
        if top is not None:
            _draw(axes, -1, column, top[column], limits, original=True)
        for row in range(rows):
            original = row in original_rows
            _draw(axes, row, column, cells[row, column], limits, original)
    if left is not None:
        for row in range(rows):
            _draw(axes, row, -1, left[row], limits, original=True)
    axes.set(
        xlim=(0 if left is not None else _offset(0), width),
        ylim=(height, 0 if top is not None else _offset(0)),
        aspect="equal",
    )
    axes.set_xticks([_offset(i) + 0.5 for i in range(columns)], names[0])
    axes.set_yticks([_offset(i) + 0.5 for i in range(rows)], names[1])
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    return png(figure)


def _choose_groups(data: GroupedData, count: int) -> list[np.ndarray]:
    """The rows of some groups, evenly spread."""
    last = len(data.groups) - 1
    chosen = np.linspace(0, last, min(count, last + 1)).round().astype(int)
    return [np.flatnonzero(data.group_index == group) for group in chosen]


def _names(data: GroupedData, members: list[np.ndarray]) -> list[str]:
    return [str(data[rows[:1]].groups[0]) for rows in members]


def _contents(
    model: MLVAE,
    data: GroupedData,
    members: list[np.ndarray],
    evidence_count: int,
) -> tf.Tensor:
    """The content means of groups, one a row."""
    donors = data[np.concatenate([rows[:evidence_count] for rows in members])]
    _, content = model.infer_content(donors.values(), donors.group_ids)
    return content.loc


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
        evidence_count: Observations of a group that its content accumulates,
            the one above its column first.

    Returns:
        A PNG picture.
    """
    members = _choose_groups(data, max_groups)
    content = _contents(model, data, members, evidence_count)
    first = data.values(np.array([rows[0] for rows in members]))
    last = data.values(np.array([rows[-1] for rows in members]))
    style = model.infer_style(last).loc
    count = len(members)
    donor = "group" if evidence_count > 1 else "observation"
    swapped = model.decode(
        tf.tile(content, [count, 1]), tf.repeat(style, count, axis=0)
    ).mean()
    return grid(
        swapped.numpy().reshape(count, count, *model.observation_shape),
        first,
        last,
        (_names(data, members), [""] * count),
        (f"content of the {donor}", "style of the observation"),
    )


def interpolation_grid(
    model: MLVAE, data: GroupedData, steps: int = 8
) -> bytes:
    """From one observation to another of another group.

    Content changes from column to column and style from row to row; the
    originals are at the ends of both margins.

    Args:
        model: A model.
        data: Observations, whose first and last group take part.
        steps: Rows and columns.

    Returns:
        A PNG picture.
    """
    members = _choose_groups(data, 2)
    start, end = (data.values(rows[:1]) for rows in (members[0], members[-1]))
    cells = control.interpolate(model, start, end, steps).numpy()
    margin = [start[0], *[None] * (steps - 2), end[0]]
    first, last = (_names(data, [m])[0] for m in (members[0], members[-1]))
    return grid(
        cells,
        margin,
        margin,
        ([first, *[""] * (steps - 2), last], [""] * steps),
        ("content, from one to the other", "style, from one to the other"),
    )


def generation_grid(
    model: MLVAE,
    data: GroupedData,
    columns: int = 10,
    evidence_count: int = 10,
    seed: int = 0,
) -> bytes:
    """Styles from the prior, in columns, for contents in rows.

    The contents are of groups, of which one observation is on the left, and
    for the last three rows from the prior as well.

    Args:
        model: A model.
        data: Observations.
        columns: Styles.
        evidence_count: Observations of a group that its content accumulates.
        seed: Seed of the draws.

    Returns:
        A PNG picture.
    """
    members = _choose_groups(data, 5)
    generator = noise.generator(seed, noise.Stream.GENERATION)
    dtype = model.variable_dtype
    style = generator.normal(size=(columns, model.style_dim)).astype(dtype)
    prior = generator.normal(size=(3, model.content_dim)).astype(dtype)
    content = tf.concat(
        [_contents(model, data, members, evidence_count), prior], axis=0
    )
    rows = len(members) + 3
    means = model.decode(
        tf.repeat(content, columns, axis=0), tf.tile(style, [rows, 1])
    ).mean()
    first = data.values(np.array([rows[0] for rows in members]))
    return grid(
        means.numpy().reshape(rows, columns, *model.observation_shape),
        None,
        [*first, None, None, None],
        ([""] * columns, [*_names(data, members), *["prior"] * 3]),
        ("styles from the prior", "content"),
    )


def reconstruction_grid(
    model: MLVAE, data: GroupedData, evidence_count: int = 10
) -> bytes:
    """Observations, and what is decoded from what they say.

    Args:
        model: A model.
        data: Observations; two of each chosen group are shown.
        evidence_count: Observations of a group that its content accumulates,
            those shown among them.

    Returns:
        A PNG picture: originals above, then content accumulated, then content
        of the observation alone.
    """
    members = [rows[:evidence_count] for rows in _choose_groups(data, 6)]
    flat = np.concatenate(members)
    shown = np.concatenate([np.arange(len(rows)) < 2 for rows in members])
    observations = data.values(flat)
    group_ids = data[flat].group_ids
    rows = [
        observations[shown],
        *(
            control.reconstruct(
                model, observations, tf.constant(group_ids), accumulate
            ).numpy()[shown]
            for accumulate in (True, False)
        ),
    ]
    return grid(
        np.stack(rows),
        None,
        None,
        (
            [str(name) for name in group_ids[shown]],
            ["original", "accumulated", "alone"],
        ),
        ("group", "content"),
        original_rows=(0,),
    )
