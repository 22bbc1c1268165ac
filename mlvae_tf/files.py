"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from mlvae_tf.errors import InputError

TABLES = ".parquet", ".csv", ".csv.gz"  # What a table's file may end in.


def shown(path: str | os.PathLike[str]) -> str:
    """A path for a message: where it is no UTF-8, its bytes as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Write a file or folder under another name, then move it into place.

    Whatever goes wrong, nothing half-written lies under the final name.

    Yields:
        A path in the same folder, with the same suffix, to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    remove(partial)
    try:
        yield partial
        if path.is_dir():
            remove(path)
        os.replace(partial, path)
    finally:
        remove(partial)


def remove(path: pathlib.Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: pathlib.Path, values: dict[str, Any]) -> None:
    """Write an object as indented JSON, whole or not at all."""
    text = json.dumps(values, indent=2, allow_nan=False)
    with whole(path) as partial:
        partial.write_text(text + "\n")


def check_suffix(path: pathlib.Path, suffixes: tuple[str, ...]) -> None:
    """Raise `InputError` unless a file's name ends in one of these."""
    if not path.name.lower().endswith(suffixes):
        *others, last = suffixes
        endings = f"{', '.join(others)} or {last}" if others else last
        raise InputError(
            f"the output must end in {endings}, as which it is written: got "
            f"{path}."
        )


def prepare(path: pathlib.Path, overwrite: bool) -> None:
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


def prepare_folder(path: pathlib.Path, overwrite: bool) -> None:
    """Raise `InputError` unless a folder can be written, before the work.

    Args:
        path: The folder, whose own folder need not exist.
        overwrite: Allow that there is such a folder already.
    """
    if path.is_file() or path.suffix:
        raise InputError(
            f"of several levels a folder is written, with a table for each: "
            f"got {path}. Name a folder."
        )
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists already. Pass --overwrite to replace it, or "
            "another --output."
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
