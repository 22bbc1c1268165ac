"""Grids of observations, as PNG: swap, interpolate, generate, reconstruct."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mlvae_tf import control, noise
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation.grid import grid
from mlvae_tf.evaluation.names import Labels
from mlvae_tf.model import MLVAE


def of_control(
    model: MLVAE,
    data: GroupedData,
    max_groups: int = 10,
    labels: Labels | None = None,
) -> dict[str, Callable[[], bytes]]:
    """By name, what draws each picture of what can be made of observations.

    Args:
        model: A model.
        data: Observations.
        max_groups: Groups to swap between.
        labels: What is drawn for the groups' names.
    """
    drawn: dict[str, Callable[[], bytes]] = {
        "swap": lambda: swap_grid(model, data, max_groups, labels=labels),
        "generate": lambda: generation_grid(model, data, labels=labels),
        "reconstruct": lambda: reconstruction_grid(model, data, labels=labels),
    }
    if len(data.groups) > 1:
        drawn["interpolate"] = lambda: interpolation_grid(
            model, data, labels=labels
        )
    return drawn


def choose_groups(data: GroupedData, count: int) -> list[np.ndarray]:
    """The rows of some groups, evenly spread."""
    last = len(data.groups) - 1
    chosen = np.linspace(0, last, min(count, last + 1)).round().astype(int)
    return [np.flatnonzero(data.group_index == group) for group in chosen]


def _names(
    data: GroupedData, rows: list[int], labels: Labels | None
) -> list[str]:
    """What is drawn for the groups of some observations."""
    labels = Labels() if labels is None else labels
    return [labels[str(name)] for name in data.groups[data.group_index[rows]]]


def sample_grid(
    data: GroupedData,
    max_groups: int = 6,
    columns: int = 8,
    labels: Labels | None = None,
) -> bytes:
    """Some observations as they are, a group of the first level in each row.

    Args:
        data: Observations.
        max_groups: Groups to show.
        columns: Observations of each, at most.
        labels: What is drawn for the groups' names; by default this picture's
            own.

    Returns:
        A PNG picture.
    """
    members = [rows[:columns] for rows in choose_groups(data, max_groups)]
    columns = max(map(len, members))
    shape = len(members), columns, *data.observations.shape[1:]
    cells = np.full(shape, np.nan, np.float32)
    framed = np.zeros(shape[:2], bool)
    for row, rows in enumerate(members):
        cells[row, : len(rows)] = data.values(rows)
        framed[row, : len(rows)] = True
    names = _names(data, [rows[0] for rows in members], labels)
    return grid(
        cells,
        None,
        None,
        ([""] * columns, names),
        ("observations", "group" if not data.others else data.level),
        framed=framed,
    )


def contents_of(
    model: MLVAE,
    data: GroupedData,
    members: list[np.ndarray],
    evidence_count: int,
) -> tf.Tensor:
    """The content means of groups, one per row."""
    donors = data[np.concatenate([rows[:evidence_count] for rows in members])]
    if len(model.levels) > 1:
        _, content = model.infer_content(donors.values(), donors.group_indices)[
            data.level
        ]
    else:
        _, content = model.infer_content(donors.values(), donors.group_index)
    return content.loc


def _swapped(
    model: MLVAE, level: str, content: tf.Tensor, observations: np.ndarray
) -> np.ndarray:
    """Observations `[R, ...]` with other contents `[C, dim]`: `[R, C, ...]`.

    With several levels, of this one; all else is as an observation alone says.
    """
    others, style = model.infer_observations(observations)
    rows, columns = len(observations), len(content)
    contents: Any = tf.tile(content, [rows, 1])
    if isinstance(others, dict):
        contents = {level: contents} | {
            name: tf.repeat(other.loc, columns, axis=0)
            for name, other in others.items()
            if name != level
        }
    means = model.decode(contents, tf.repeat(style.loc, columns, axis=0)).mean()
    return means.numpy().reshape(rows, columns, *model.observation_shape)


def swap_grid(
    model: MLVAE,
    data: GroupedData,
    max_groups: int = 10,
    evidence_count: int = 10,
    labels: Labels | None = None,
) -> bytes:
    """Every content with every style: rows share a style, columns a content.

    With several levels, that of the data's first one, with everything else.

    Args:
        model: A model.
        data: Observations; each chosen group gives its content and, with one
            observation, a style. Both originals are shown on the margins.
        max_groups: Groups to show.
        evidence_count: Observations of a group that its content accumulates,
            the one above its column first.
        labels: What is drawn for the groups' names; by default this picture's
            own.

    Returns:
        A PNG picture.
    """
    members = choose_groups(data, max_groups)
    content = contents_of(model, data, members, evidence_count)
    first = [rows[0] for rows in members]
    last = data.values(np.array([rows[-1] for rows in members]))
    donor = "group" if evidence_count > 1 else "observation"
    given = f"content of the {donor}", "style of the observation"
    if len(model.levels) > 1:
        given = data.level, "all else of the observation"
    return grid(
        _swapped(model, data.level, content, last),
        data.values(np.array(first)),
        last,
        (_names(data, first, labels), [""] * len(members)),
        given,
    )


def interpolation_grid(
    model: MLVAE,
    data: GroupedData,
    steps: int = 8,
    labels: Labels | None = None,
) -> bytes:
    """From one observation to another of another group.

    Content changes from column to column and style from row to row; the
    originals are at the ends of both margins.

    Args:
        model: A model.
        data: Observations, whose first and last group take part.
        steps: Rows and columns.
        labels: What is drawn for the groups' names; by default this picture's
            own.

    Returns:
        A PNG picture.
    """
    members = choose_groups(data, 2)
    start, end = (data.values(rows[:1]) for rows in (members[0], members[-1]))
    cells = control.interpolate(model, start, end, steps).numpy()
    margin = [start[0], *[None] * (steps - 2), end[0]]
    rows = [members[0][0], members[-1][0]]
    first, last = _names(data, rows, labels)
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
    labels: Labels | None = None,
) -> bytes:
    """Styles from the prior, in columns, for contents in rows.

    The contents are of groups, of which one observation is on the left, and
    for the last three rows from the prior as well. With several levels they
    are of the data's first one, and columns share all else.

    Args:
        model: A model.
        data: Observations.
        columns: Styles.
        evidence_count: Observations of a group that its content accumulates.
        seed: Seed of the draws.
        labels: What is drawn for the groups' names; by default this picture's
            own.

    Returns:
        A PNG picture.
    """
    members = choose_groups(data, 5)
    generator = noise.generator(seed, noise.Stream.GENERATION)
    dims = {level.name: level.dim for level in model.codec.drawn}
    own = data.level if len(model.levels) > 1 else next(iter(dims))

    def prior(count: int, dim: int) -> np.ndarray:
        drawn = generator.normal(size=(count, dim))
        return drawn.astype(model.variable_dtype)

    rows = len(members) + 3
    style = tf.tile(prior(columns, model.style_dim), [rows, 1])
    seen = contents_of(model, data, members, evidence_count)
    content = tf.concat([seen, prior(3, dims.pop(own))], axis=0)
    contents: Any = tf.repeat(content, columns, axis=0)
    if dims:
        contents = {own: contents} | {
            name: tf.tile(prior(columns, dim), [rows, 1])
            for name, dim in dims.items()
        }
    means = model.decode(contents, style).mean()
    first = [rows[0] for rows in members]
    return grid(
        means.numpy().reshape(rows, columns, *model.observation_shape),
        None,
        [*data.values(np.array(first)), None, None, None],
        ([""] * columns, [*_names(data, first, labels), *["prior"] * 3]),
        (
            f"{'all else' if dims else 'styles'} from the prior",
            own if dims else "content",
        ),
    )


def reconstruction_grid(
    model: MLVAE,
    data: GroupedData,
    evidence_count: int = 10,
    labels: Labels | None = None,
) -> bytes:
    """Observations, and what is decoded from what they say.

    Args:
        model: A model.
        data: Observations; two of each chosen group are shown.
        evidence_count: Observations of a group that its content accumulates,
            those shown among them.
        labels: What is drawn for the groups' names; by default this picture's
            own.

    Returns:
        A PNG picture: originals above, then content accumulated, then content
        of the observation alone.
    """
    members = [rows[:evidence_count] for rows in choose_groups(data, 6)]
    flat = np.concatenate(members)
    shown = np.concatenate([np.arange(len(rows)) < 2 for rows in members])
    observations = data.values(flat)
    groups: Any = tf.constant(data.group_index[flat])
    if len(model.levels) > 1:
        groups = {name: of[flat] for name, of in data.group_indices.items()}
    rows = [
        observations[shown],
        *(
            control.reconstruct(
                model, observations, groups, accumulate
            ).numpy()[shown]
            for accumulate in (True, False)
        ),
    ]
    framed = np.zeros((3, len(rows[0])), bool)
    framed[0] = True
    return grid(
        np.stack(rows),
        None,
        None,
        (
            _names(data, flat[shown].tolist(), labels),
            ["original", "accumulated", "alone"],
        ),
        ("group", "content"),
        framed=framed,
    )
