"""`folder:PATH`: PATH/GROUP/*.png|jpg, or PATH/SPLIT/GROUP/*."""

from __future__ import annotations

import concurrent.futures
import functools
import pathlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mlvae_tf.config import DataConfig
from mlvae_tf.data.grouping import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError

_SUFFIXES = {".png", ".jpg", ".jpeg"}
_OTHER_SUFFIXES = {".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic"}
_MODES = {"grey": "L", "rgb": "RGB"}


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )


def _images(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    )


def decode(
    path: pathlib.Path, size: int | None = None, colors: str | None = None
) -> np.ndarray:
    """One image as uint8 `[height, width, channels]`.

    Args:
        path: A PNG or JPEG file.
        size: Resize to this height and width.
        colors: `"grey"` or `"rgb"`; as the file has it by default.

    Raises:
        InputError: If the file is damaged or no image.
    """
    try:
        with Image.open(path) as image:
            image = _eight_bit(ImageOps.exif_transpose(image))
            mode = _MODES[colors] if colors else image.mode
            image = image.convert(mode)
            if size:
                image = image.resize((size, size), Image.Resampling.LANCZOS)
            pixels = np.asarray(image)
    except UnidentifiedImageError:
        raise InputError(f"{path} is no PNG or JPEG image.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{path} cannot be decoded: {error}. Repair or remove the file."
        ) from None
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _eight_bit(image: Image.Image) -> Image.Image:
    """As grey or RGB, the transparent parts white."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() clips.
        values = np.asarray(image).astype(np.int64) // 257
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        grey = image.mode in ("L", "LA")
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
        return image.convert("L" if grey else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _check_group(folder: pathlib.Path) -> None:
    """Raise `InputError` on what would be left out without a word."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in _OTHER_SUFFIXES:
            raise InputError(
                f"{path} is neither PNG nor JPEG. Convert it, or take it out."
            )
        if path.is_dir():
            raise InputError(
                f"{path} is a folder within a group: expected PATH/GROUP/* or "
                "PATH/train/GROUP/* and PATH/test/GROUP/*."
            )


def _read_groups(folder: pathlib.Path, config: DataConfig) -> GroupedData:
    paths = []
    for group in _subfolders(folder):
        images = _images(group)
        _check_group(group)
        if not images:
            raise InputError(
                f"{group} has no PNG or JPEG images. Add some, or remove the "
                "folder."
            )
        paths.extend(images)
    read = functools.partial(
        decode, size=config.image_size, colors=config.colors
    )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        images = list(pool.map(read, paths))
    for path, image in zip(paths, images):
        if image.shape != images[0].shape:
            raise InputError(
                "all images must have one size and one kind of colour: "
                f"{paths[0]} is {images[0].shape}, {path} is {image.shape}. "
                "Pass --image_size, such as 64, and --colors=grey or rgb."
            )
    names = np.array([path.parent.name for path in paths])
    return GroupedData.of(np.stack(images), names)


def load(path: str, config: DataConfig) -> Source:
    """Each folder of images is a group; its name is the group's id.

    Folders named `train` and `test` hold the splits, in which the groups may
    differ.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"folder:{path}: there is no such folder.")
    subfolders = _subfolders(folder)
    if not subfolders:
        raise InputError(
            f"folder:{path} has no group folders: expected {path}/GROUP/*.png "
            f"or *.jpg, or {path}/train/GROUP/* and {path}/test/GROUP/*."
        )
    names = {subfolder.name for subfolder in subfolders}
    nested = not any(_images(subfolder) for subfolder in subfolders)
    if not (nested and "train" in names and names <= {"train", "test"}):
        return Source(_read_groups(folder, config))
    splits = {
        name: _read_groups(folder / name, config) for name in sorted(names)
    }
    return Source(**splits)
