"""The folder of a run: where things lie, and how they get there whole."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlvae_tf.errors import InputError

if TYPE_CHECKING:
    from mlvae_tf.model import MLVAE

_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")
_OUTPUTS = (
    "config.json",
    "checkpoints",
    "logs",
    "model.keras",
    "export",
    "evaluation",
    "seeds",
)


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    from mlvae_tf import __version__

    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "mlvae_tf": __version__,
        "python": platform.python_version(),
        **found,
    }


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Write a file or folder under another name, then move it into place.

    Whatever goes wrong, nothing half-written lies under the final name.

    Yields:
        A path in the same folder, with the same suffix, to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    _remove(partial)
    try:
        yield partial
        if path.is_dir():
            _remove(path)
        os.replace(partial, path)
    finally:
        _remove(partial)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: pathlib.Path, values: dict[str, Any]) -> None:
    """Write an object as indented JSON, whole or not at all."""
    text = json.dumps(values, indent=2, allow_nan=False)
    with whole(path) as partial:
        partial.write_text(text + "\n")


def prepare(folder: pathlib.Path, resume: bool, overwrite: bool) -> bool:
    """Make a run's folder ready.

    Args:
        folder: The folder, which need not exist.
        resume: Go on with the run in it, if there is one.
        overwrite: Allow that there is a run, which `clear` removes once a new
            one is about to begin.

    Returns:
        Whether there is a run to go on with.

    Raises:
        InputError: If it holds a run and neither is asked for, or if it can't
            be written to.
    """
    if resume and overwrite:
        raise InputError("pass --resume or --overwrite, not both.")
    holds_run = any((folder / name).exists() for name in _OUTPUTS)
    if holds_run and not (resume or overwrite):
        raise InputError(
            f"{folder} holds a run already. Pass --resume to go on with it, "
            "--overwrite to replace it, or another --workdir."
        )
    if resume and holds_run and not (folder / "config.json").exists():
        raise InputError(
            f"{folder} holds a run without its config.json. Restore that file, "
            "or pass --overwrite to start over."
        )
    check_writable(folder)
    return resume and holds_run


def prepare_file(path: pathlib.Path, overwrite: bool) -> None:
    """Raise `InputError` unless a file can be written, before the work for it.

    Args:
        path: The file, whose folder need not exist.
        overwrite: Allow that there is such a file already.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder. Name a file in it.")
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists already. Pass --overwrite to replace it, or "
            "another name."
        )
    check_writable(path.parent)


def check_writable(folder: pathlib.Path) -> None:
    """Make a folder, and raise `InputError` if no file can be put there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / "writable") as probe:
            probe.write_bytes(b"\0" * 4096)
        (folder / "writable").unlink()
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written to: {error.strerror}. Choose a "
            "folder that can, with space left."
        ) from None


def clear(folder: pathlib.Path) -> None:
    """Remove the run in a folder; files that no run writes stay."""
    for name in _OUTPUTS:
        _remove(folder / name)


def load_model(folder: pathlib.Path) -> MLVAE:
    """The trained model of a run.

    Raises:
        InputError: If the training has not left one.
    """
    import keras

    # Keras finds their classes once they are imported.
    from mlvae_tf import model, schedules  # noqa: F401

    path = folder / "model.keras"
    if not path.exists():
        raise InputError(
            f"{path} is missing: the training has not come to its end. Go on "
            f"with: python train.py --workdir={folder} --resume"
        )
    try:
        return keras.saving.load_model(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise InputError(
            f"{path} is damaged. Write it again with: python train.py "
            f"--workdir={folder} --resume"
        ) from None
