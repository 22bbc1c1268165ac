"""`folder:PATH`: PATH/GROUP/*.png|jpg, or PATH/SPLIT/GROUP/*."""

from __future__ import annotations

import array
import bisect
import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import tqdm
from PIL import Image, ImageOps, UnidentifiedImageError

from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.observations import Encoded, progress
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError

_SUFFIXES = {".png", ".jpg", ".jpeg"}
_OTHER_SUFFIXES = {".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic"}
_MODES = {"grey": "L", "rgb": "RGB"}
_ORIENTATION = 0x0112  # Of Exif; above 4, width and height change places.


def _subfolders(folder: pathlib.Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir() and not entry.name.startswith(".")
        )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _images(folder: pathlib.Path) -> list[str]:
    """The names of a group's images, sorted.

    Raises:
        InputError: On what would be left out without a word.
    """
    images = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if _suffix(entry.name) in _OTHER_SUFFIXES:
                raise InputError(
                    f"{path} is neither PNG nor JPEG. Convert it, or take it "
                    "out."
                )
            if _suffix(entry.name) in _SUFFIXES:
                images.append(entry.name)
            elif entry.is_dir():
                raise InputError(
                    f"{path} is a folder within a group: expected PATH/GROUP/* "
                    "or PATH/train/GROUP/* and PATH/test/GROUP/*."
                )
    if not images:
        raise InputError(
            f"{folder} has no PNG or JPEG images. Add some, or remove the "
            "folder."
        )
    return images


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
    with _opened(path) as image:
        image = _eight_bit(ImageOps.exif_transpose(image))
        return convert(image, size, colors)


def convert(
    image: Image.Image, size: int | None, colors: str | None
) -> np.ndarray:
    """A grey or RGB image as uint8 `[height, width, channels]`."""
    image = image.convert(_MODES[colors] if colors else image.mode)
    if size:
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def shape(
    path: pathlib.Path, size: int | None = None, colors: str | None = None
) -> tuple[int, ...]:
    """The shape of what `decode` gives, as the header tells it."""
    with _opened(path) as image:
        width, height = image.size
        # Pillow looks for the orientation of a PNG behind its pixels, which
        # it decodes for that: here only what stands before them counts.
        if "exif" in image.info and image.getexif().get(_ORIENTATION, 1) > 4:
            width, height = height, width
        if size:
            width, height = size, size
        mode = _MODES[colors] if colors else _mode(image)
        return height, width, 1 if mode == "L" else 3


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Image.Image]:
    """An image whose pixels are not read yet."""
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        raise InputError(f"{path} is no PNG or JPEG image.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{path} cannot be decoded: {error}. Repair or remove the file."
        ) from None


def _mode(image: Image.Image) -> str:
    """L, if it is grey, or RGB."""
    grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
    return "L" if grey else "RGB"


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info


def _eight_bit(image: Image.Image) -> Image.Image:
    """As grey or RGB, the transparent parts white."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() clips.
        values = np.asarray(image).astype(np.int64) // 257
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))
    mode = _mode(image)
    if _transparent(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


class _Images(Encoded):
    """The images of group folders.

    A file's name is a few bytes of one string; a million `pathlib` objects
    would take a gigabyte.

    Args:
        folder: Where the groups are.
        groups: Their names.
        images: The names of each group's images.
        config: How to decode them.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        groups: list[str],
        images: Iterable[list[str]],
        config: DataConfig,
    ) -> None:
        self._folder = folder
        self._groups = groups
        self._settings = config.image_size, config.colors
        names, ends, stops = bytearray(), array.array("q"), array.array("q")
        for group in images:
            for name in group:
                names += os.fsencode(name)
                ends.append(len(names))
            stops.append(len(ends))
        self._names, self._ends, self.stops = names, ends, stops
        self.shape = (len(ends), *self.decode(0).shape)
        self.dtype = np.dtype(np.uint8)

    def path(self, row: int) -> pathlib.Path:
        """The file of an image."""
        name = self._names[self._ends[row - 1] if row else 0 : self._ends[row]]
        group = self._groups[bisect.bisect_right(self.stops, row)]
        return self._folder / group / os.fsdecode(bytes(name))

    def decode(self, row: int) -> np.ndarray:
        return decode(self.path(row), *self._settings)

    def mismatch(self, row: int, shape: tuple[int, ...]) -> InputError:
        return InputError(
            "all images must have one size and one kind of colour: "
            f"{self.path(0)} is {self.shape[1:]}, {self.path(row)} is {shape}. "
            "Pass --image_size, such as 64, and --colors=grey or rgb."
        )

    def check(self) -> None:
        """Look at the headers, unless sizes and colours are made one."""
        if all(self._settings):
            return

        def look(row: int) -> None:
            found = shape(self.path(row), *self._settings)
            if found != self.shape[1:]:
                raise self.mismatch(row, found)

        for rows in progress(len(self), "looking at headers"):
            self.in_parallel(look, range(rows.start, rows.stop))


def _read_groups(folder: pathlib.Path, config: DataConfig) -> GroupedData:
    groups = _subfolders(folder)
    listed = tqdm.tqdm(groups, "listing groups", leave=False, delay=2)
    images = _Images(
        folder, groups, (_images(folder / group) for group in listed), config
    )
    sizes = np.diff(images.stops, prepend=0)
    index = np.repeat(np.arange(len(groups), dtype=np.int32), sizes)
    return GroupedData(images, np.array(groups), index)


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
    splits = "train" in subfolders and set(subfolders) <= {"train", "test"}
    if not splits or any(_has_images(folder / name) for name in subfolders):
        return Source(_read_groups(folder, config))
    return Source(
        **{name: _read_groups(folder / name, config) for name in subfolders}
    )


def _has_images(folder: pathlib.Path) -> bool:
    with os.scandir(folder) as entries:
        return any(
            _suffix(entry.name) in _SUFFIXES and not entry.name.startswith(".")
            for entry in entries
        )
