"""What a report lets its reader slide through: content and style.

The pictures are drawn beforehand, for every combination of some positions along
contents and styles, so that a browser shows what the model itself decodes.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation.cells import is_image
from mlvae_tf.evaluation.drawings import choose_groups, contents_of
from mlvae_tf.evaluation.names import written
from mlvae_tf.evaluation.sprites import cell_size, sprite
from mlvae_tf.model import MLVAE

# Originals along a slider, and steps from one to the next: the finest of them
# with no more pictures, and pixels in all, than these.
FINENESS = (5, 4), (5, 3), (5, 2), (4, 3), (4, 2), (3, 2), (3, 1)
MAX_PICTURES, MAX_PIXELS = 1000, 1 << 22
EVIDENCE = 10  # Observations of a content.
BATCH_SIZE = 64

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Axis:
    """One latent that a slider moves.

    Attributes:
        name: Of the latent.
        originals: PNG pictures, an observation each.
        labels: What each of these gives: the group, and of a style which of
            its observations.
        steps: From one original to the next.
    """

    name: str
    originals: list[bytes]
    labels: list[str]
    steps: int

    @property
    def positions(self) -> int:
        return (len(self.labels) - 1) * self.steps + 1


@dataclasses.dataclass(frozen=True)
class Explorer:
    """Decoded pictures by position along each axis.

    Attributes:
        axes: The latents.
        pictures: A PNG picture of all of them, row by row, the position along
            the last axis changing from column to column.
        size: Width and height of one.
        of_images: Whether observations are images, not series.
    """

    axes: list[Axis]
    pictures: bytes
    size: tuple[int, int]
    of_images: bool


class _Ends(NamedTuple):
    """Originals along an axis: what each is and what it gives.

    Attributes:
        name: Of the latent.
        latents: `[A, dim]`.
        rows: `[A]`, the original of each.
        labels: Of each.
    """

    name: str
    latents: Array
    rows: list[int]
    labels: list[str]


def explore(model: MLVAE, data: GroupedData) -> Explorer | None:
    """Draw all that the sliders reach.

    Args:
        model: The model.
        data: Held-out observations.

    Returns:
        None where there is nothing to slide between.
    """
    levels = [level.name for level in model.codec.drawn]
    count = len(levels) + bool(model.style_dim)
    groups, steps = fineness(count, data.observations.shape[1:])
    ends = [_of_level(model, data, level, groups) for level in levels]
    if model.style_dim:
        ends.append(_of_style(model, data, groups))
    if all(len(of.rows) < 2 for of in ends):
        return None
    values = [data.values(np.array(of.rows)) for of in ends]
    originals = list(np.concatenate(values))
    axes = []
    for of, shown in zip(ends, values):
        drawn = [sprite(one[np.newaxis], 1, originals) for one in shown]
        axes.append(Axis(of.name, drawn, of.labels, steps))
    cells = _decode(model, ends, [axis.positions for axis in axes])
    pictures = sprite(cells, axes[-1].positions, originals)
    shape = cells.shape[1:]
    return Explorer(axes, pictures, cell_size(shape), is_image(shape))


def fineness(axes: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many originals along each axis, and how many steps between two.

    Args:
        axes: How many there are.
        shape: Of an observation.
    """
    pixels = math.prod(cell_size(shape))
    most = min(MAX_PICTURES, MAX_PIXELS / pixels)
    fitting = (
        (groups, steps)
        for groups, steps in FINENESS
        if ((groups - 1) * steps + 1) ** axes <= most
    )
    return next(fitting, FINENESS[-1])


def _of_level(
    model: MLVAE, data: GroupedData, level: str, groups: int
) -> _Ends:
    """Contents of some groups."""
    if len(model.levels) > 1:
        data = data.on(level)
    members = choose_groups(data, groups)
    contents = contents_of(model, data, members, EVIDENCE).numpy()
    rows = [int(rows[0]) for rows in members]
    return _Ends(level, contents, rows, _group_names(data, rows))


def _of_style(model: MLVAE, data: GroupedData, groups: int) -> _Ends:
    """Styles of single observations, of one group each."""
    rows = [int(rows[-1]) for rows in choose_groups(data, groups)]
    _, style = model.infer_observations(data.values(np.array(rows)))
    labels = [
        f"{group}, no. {row + 1}"
        for group, row in zip(_group_names(data, rows), rows)
    ]
    return _Ends(model.style.name, style.loc.numpy(), rows, labels)


def _group_names(data: GroupedData, rows: list[int]) -> list[str]:
    names = data.groups[data.group_index[rows]]
    return [written(str(name)) for name in names]


def _decode(model: MLVAE, ends: list[_Ends], positions: list[int]) -> Array:
    """The means at all combinations of positions, the last changing first."""
    places = np.indices(positions).reshape(len(positions), -1)
    latents = {
        of.name: _between(of.latents, count)[place]
        for of, count, place in zip(ends, positions, places)
    }
    count = places.shape[1]
    nothing = np.zeros((count, 0), model.variable_dtype)
    style = latents.pop(model.style.name, nothing)
    parts = [
        model.decode(
            {
                name: of[start : start + BATCH_SIZE]
                for name, of in latents.items()
            },
            style[start : start + BATCH_SIZE],
        ).mean()
        for start in range(0, count, BATCH_SIZE)
    ]
    return np.concatenate(parts)


def _between(latents: Array, positions: int) -> Array:
    """Points along the straight lines from one to the next."""
    at = np.linspace(0, len(latents) - 1, positions)
    columns = [np.interp(at, range(len(latents)), of) for of in latents.T]
    return np.stack(columns, axis=1).astype(latents.dtype)
