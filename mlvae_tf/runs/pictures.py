"""Pictures that a user names, as observations of a run's model."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mlvae_tf import control, progress
from mlvae_tf.data import images
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation.grid import grid
from mlvae_tf.evaluation.names import Labels
from mlvae_tf.files import shown
from mlvae_tf.model import MLVAE


def find(places: list[str]) -> list[pathlib.Path]:
    """The pictures that files and folders of these names are or hold.

    Args:
        places: Paths. Of a folder, all pictures in it and below, by name.

    Raises:
        InputError: If there is none at one of them.
    """
    found = []
    for place in places:
        path = pathlib.Path(place).expanduser()
        if not path.exists():
            raise InputError(f"{shown(path)}: there is no such file or folder.")
        pictures = [path] if path.is_file() else list(_below(path))
        if not pictures:
            raise InputError(f"{shown(path)} holds no pictures.")
        found += pictures
    return found


def _below(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = pathlib.Path(place, name)
            if path.is_file() and images.is_picture(path):
                yield path


def read(paths: list[pathlib.Path], shape: tuple[int, ...]) -> np.ndarray:
    """Pictures as a model takes them, but for their values.

    Args:
        paths: The files.
        shape: Of one observation of the model.

    Returns:
        uint8 `[N, height, width, channels]`, resized where need be.

    Raises:
        InputError: If the model is of no pictures, or files are damaged, all
            of which are named.
    """
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise InputError(
            f"the model is of observations of shape {list(shape)}: pictures "
            "are [height, width, 1 or 3]."
        )
    colors = "grey" if shape[-1] == 1 else "rgb"
    depth = _depth(paths)
    decoded, damaged = [], []
    for path in progress.track(paths, len(paths), "reading pictures"):
        try:
            decoded.append(images.decode(path, shape[:2], colors, depth))
        except images.DamagedError as error:
            damaged.append(str(error))
    if damaged:
        raise InputError(
            f"{'; '.join(damaged[:10])}. Repair or leave them out."
        )
    return np.stack(decoded)


def _depth(paths: list[pathlib.Path]) -> int:
    """The bits that pixels of more than eight hold, as data sets are read."""
    found = []
    for path in paths:
        with contextlib.suppress(images.DamagedError):  # It is named later.
            if images.look(path).deep:
                found.append(images.largest(path))
    return images.depth_of(max(found, default=2**16 - 1))


def swap_grid(
    model: MLVAE,
    columns: list[tuple[str, list[pathlib.Path]]],
    rows: list[pathlib.Path],
) -> bytes:
    """Every content with every style, the originals on the margins.

    Args:
        model: The model.
        columns: For each content, what it is called and the pictures of its
            group.
        rows: A picture for each style.

    Returns:
        A PNG picture.
    """
    values = model.codec.likelihood.values
    shape = model.observation_shape
    styles = values(read(rows, shape))
    contents = [values(read(paths, shape)) for _, paths in columns]
    cells = [control.swap(model, content, styles) for content in contents]
    labels = Labels()
    return grid(
        np.stack(cells, axis=1),
        [content[0].numpy() for content in contents],
        styles.numpy(),
        (
            [labels[_called(pathlib.Path(name))] for name, _ in columns],
            [labels[_called(path)] for path in rows],
        ),
        ("content", "style"),
    )


def _called(path: pathlib.Path) -> str:
    return path.stem if path.is_file() else path.name
