"""One picture from a file: what it is, its size, its pixels."""

from __future__ import annotations

import contextlib
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from mlvae_tf.data.observations import DamagedError
from mlvae_tf.files import shown

# Pillow cannot read the pixels of these, or runs another program to do so.
_NOT_PICTURES = {"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
# Pictures all the same, which must not be passed over.
_UNREADABLE_SUFFIXES = {".heic", ".heif", ".jxl", ".svg"}
_NO_SIGNATURE = {"TGA"}  # Anything may look like one.

_DEPTHS = 8, 10, 12, 14, 16, 24, 32
_MODES = {"grey": "L", "rgb": "RGB"}
_ORIENTATION = 0x0112  # Of Exif: 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What it warns of is metadata, or ends in an error of its own.
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.init()
_FORMATS = sorted(Image.OPEN.keys() - _NOT_PICTURES)
_SUFFIXES = _UNREADABLE_SUFFIXES | {
    suffix
    for suffix, name in Image.registered_extensions().items()
    if name in _FORMATS
}


class Look(NamedTuple):
    """What the header of a picture tells.

    Attributes:
        height: In pixels, upright.
        width: Likewise.
        grey: Whether it has no colours.
        deep: Whether its pixels have more than eight bits.
        several: Whether there are more pictures in the file.
    """

    height: int
    width: int
    grey: bool
    deep: bool
    several: bool


def is_picture(path: pathlib.Path) -> bool:
    """Whether a file is a picture: by its suffix, or else by its content."""
    suffix = os.path.splitext(path.name)[1].lower()
    if suffix in _SUFFIXES:
        return True
    try:
        formats = [name for name in _FORMATS if name not in _NO_SIGNATURE]
        with Image.open(path, formats=formats):
            return True
    except Exception:  # Pillow raises anything on what is no picture.
        return False


def look(path: pathlib.Path) -> Look:
    """What a picture's header tells of it.

    Raises:
        DamagedError: If the file is damaged or no picture.
    """
    with _opened(path) as image:
        width, height = image.size
        if _orientation(image) > 4:
            width, height = height, width
        grey, deep = _mode(image) == "L", _is_deep(image)
        return Look(height, width, grey, deep, _has_frames(image))


def decode(
    path: pathlib.Path,
    size: tuple[int, int] | None = None,
    colors: str | None = None,
    depth: int = 16,
) -> np.ndarray:
    """The picture in a file, of several the first, upright.

    Args:
        path: The file.
        size: Resize to `(height, width)`.
        colors: `"grey"` or `"rgb"`; as the file has it by default.
        depth: Bits that pixels of more than eight hold.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        DamagedError: If the file is damaged or no picture.
    """
    with _opened(path) as image:
        turn = _TURNS.get(_orientation(image))
        image = _eight_bit(image, depth)
        return convert(
            image if turn is None else image.transpose(turn), size, colors
        )


def convert(
    image: Image.Image, size: tuple[int, int] | None, colors: str | None
) -> np.ndarray:
    """A grey or RGB image as uint8 `[height, width, channels]`."""
    image = image.convert(_MODES[colors] if colors else image.mode)
    if size:
        image = image.resize(size[::-1], Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def largest(path: pathlib.Path) -> int:
    """The largest value of a picture of more than eight bits.

    Raises:
        DamagedError: If the file is damaged or no picture.
    """
    with _opened(path) as image:
        return int(np.max(np.asarray(image)))


def depth_of(largest: int) -> int:
    """The bits that pixels hold of which this value is the largest."""
    return next(depth for depth in _DEPTHS if largest < 2**depth)


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Image.Image]:
    """An image whose pixels are not read yet; what Pillow raises, named."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            yield image
    except UnidentifiedImageError:
        raise DamagedError(
            f"{shown(path)} is no picture that can be read here"
        ) from None
    except Exception as error:  # Of the file's: Pillow raises of any kind.
        reason = str(error).rstrip(".") or type(error).__name__
        raise DamagedError(
            f"{shown(path)} cannot be decoded: {reason}"
        ) from None


def _has_frames(image: Image.Image) -> bool:
    # A phone's MPO is one photograph, with a small copy of it.
    try:
        return image.format != "MPO" and getattr(image, "is_animated", False)
    except Exception:  # Pillow looks for the next picture.
        return False


def _orientation(image: Image.Image) -> int:
    """How it has to be turned, 1 to 8, as far as that can be told.

    Metadata must not stop a picture. Pillow looks for a PNG's behind the
    pixels, which it decodes for that: only what stands before them counts, for
    its size and its pixels alike.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        value: Any = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_deep(image: Image.Image) -> bool:
    """Whether pixels have more than eight bits."""
    return image.mode.startswith("I")


def _mode(image: Image.Image) -> str:
    """L, if it is grey, or RGB."""
    grey = image.mode in ("1", "L", "LA") or _is_deep(image)
    return "L" if grey or _has_grey_palette(image) else "RGB"


def _has_grey_palette(image: Image.Image) -> bool:
    if image.mode != "P" or image.palette is None:
        return False
    mode, colors = image.palette.mode, image.palette.palette
    palette = np.frombuffer(bytes(colors), np.uint8)
    if mode != "RGB" or not palette.size or palette.size % 3:
        return False
    palette = palette.reshape(-1, 3)
    return bool(np.all(palette == palette[:, :1]))


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info


def _eight_bit(image: Image.Image, depth: int) -> Image.Image:
    """As grey or RGB, the transparent parts white."""
    if image.mode == "F":
        raise ValueError("its pixels are floating point, not 8 or 16 bits")
    if _is_deep(image):  # convert() would clip.
        values = np.asarray(image).astype(np.int64)
        scaled = values * 255 // (2**depth - 1)
        return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))
    mode = _mode(image)
    if _transparent(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)
