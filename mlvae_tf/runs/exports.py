"""The SavedModels of a run, numbered as TensorFlow Serving watches them.

A server loads the highest number that it sees. So a version appears when it is
whole, never changes under its number, and no number is given twice.
"""

from __future__ import annotations

import pathlib

import numpy as np

from mlvae_tf import files, serving
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.fingerprint import HasConfig


def newest(workdir: pathlib.Path) -> pathlib.Path:
    """The newest SavedModel of a run that is whole.

    Raises:
        InputError: If the training has not left one.
    """
    for number in reversed(_numbers(workdir / "export")):
        folder = workdir / "export" / str(number)
        if (folder / "saved_model.pb").is_file():
            return folder
    raise InputError(
        f"{workdir / 'export'} holds no model: the training has not come to "
        f"its end. Go on with: python train.py --workdir={workdir} --resume"
    )


def write(
    workdir: pathlib.Path,
    model: HasConfig,
    keep: int,
    train: GroupedData | None = None,
) -> pathlib.Path:
    """Write the next version, then remove old ones.

    Args:
        workdir: The run's folder.
        model: The model.
        keep: How many versions stay, the new one among them.
        train: What it learned from: its groups are listed, and files of
            pictures are taken where it is of pixels.

    Returns:
        The new version's folder.
    """
    folder = workdir / "export"
    numbers = _numbers(folder)
    new = folder / str(max(numbers, default=0) + 1)
    serving.export(model, new, *_learned(train))
    for number in numbers[: max(len(numbers) + 1 - keep, 0)]:
        files.remove(folder / str(number))
    return new


def _learned(train: GroupedData | None) -> tuple[serving.Groups, bool]:
    """The groups that were learned from, and whether from pixels."""
    if train is None:
        return None, False
    pictures = train.observations.dtype == np.uint8
    if not train.others:  # Whatever its level is called in the data.
        return train.groups, pictures
    return {name: of.groups for name, of in train.levels.items()}, pictures


def _numbers(folder: pathlib.Path) -> list[int]:
    """The versions in a folder; what has another name is none of them."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir()]
    return sorted(int(name) for name in names if _is_version(name))


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and name == str(int(name))
