"""PNG and JPEG files within a graph, to pixels as `data.images` reads them.

The same steps on integers: transparent parts white, upright, grey or RGB, then
Lanczos along the rows and along the columns, each rounded to 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from mlvae_tf import guards
from mlvae_tf.serving import exif

MAX_PIXELS = 1 << 26  # A file of a few bytes may claim any number.
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_HEADER = 33  # Bytes of a PNG before all else.
_DEEP = b"\x10\x00"  # At 24: of 16 bits, grey.
_LUMA = 19595, 38470, 7471  # Of red, green and blue, in 65536ths.

_NEITHER = (
    "images must be PNG or JPEG files: that of row {} is neither. Pass the "
    "bytes of a file as they are; in JSON, in base64 under b64."
)
_TOO_LARGE = (
    "images must have at most {} pixels: that of row {} is {} high and wide. "
    "Make it smaller first."
)


def are_pictures(shape: tuple[int, ...]) -> bool:
    """Whether observations of this shape can be pictures."""
    return len(shape) == 3 and shape[-1] in (1, 3)


def decode(files: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """The pixels of pictures of any size.

    Args:
        files: PNG or JPEG, string `[N]`.
        shape: Height, width and 1 or 3 channels, which they are given.

    Returns:
        uint8 `[N, *shape]`.
    """
    rows = tf.range(tf.size(files))
    return tf.map_fn(
        lambda one: _decode(one[0], one[1], shape),
        (files, rows),
        fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        parallel_iterations=1,  # Memory is that of one picture.
    )


def _decode(
    file: tf.Tensor, row: tf.Tensor, shape: tuple[int, ...]
) -> tf.Tensor:
    is_png = _holds(file, 0, _PNG) & (tf.strings.length(file) >= _HEADER)
    good = is_png | _holds(file, 0, _JPEG)
    file = guards.after(
        guards.require(good, lambda: guards.text(_NEITHER, row)), file
    )
    sides = tf.cond(is_png, lambda: _png_sides(file), lambda: _jpeg_sides(file))
    # Two sides of less than 2^31 have less than 2^63 pixels.
    small = tf.reduce_prod(sides) <= MAX_PIXELS
    file = guards.after(
        guards.require(
            small, lambda: guards.text(_TOO_LARGE, MAX_PIXELS, row, sides)
        ),
        file,
    )
    image = tf.cond(is_png, lambda: _png(file), lambda: _jpeg(file))
    image = image if shape[-1] == 3 else _grey(image)
    image = _upright(image, exif.orientation(file))
    return _resize(image, shape)


def _holds(file: tf.Tensor, place: int, text: bytes) -> tf.Tensor:
    """Whether a text stands at a place of a file, which may end before."""
    place = tf.minimum(place, tf.strings.length(file))
    return tf.strings.substr(file, place, len(text)) == text


def _png_sides(file: tf.Tensor) -> tf.Tensor:
    sides = tf.io.decode_raw(
        tf.strings.substr(file, 16, 8), tf.int32, little_endian=False
    )
    return tf.cast(sides, tf.int64)


def _jpeg_sides(file: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.extract_jpeg_shape(file)[:2], tf.int64)


def _jpeg(file: tf.Tensor) -> tf.Tensor:
    # As libjpeg does for others; TensorFlow's default is faster and less so.
    return tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")


def _png(file: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        _holds(file, 24, _DEEP), lambda: _deep_png(file), lambda: _plain(file)
    )


def _deep_png(file: tf.Tensor) -> tf.Tensor:
    """Of 16 bits, of which all count: `data.images` scales these itself."""
    deep = tf.io.decode_png(file, channels=1, dtype=tf.uint16)
    return tf.repeat(tf.cast(tf.cast(deep, tf.int32) // 257, tf.uint8), 3, 2)


def _plain(file: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_png(file, channels=4)
    color, alpha = image[..., :3], image[..., 3:]
    # What has no alpha is given that of its own bits: 1, 3, 15 or 255.
    bits = tf.io.decode_raw(tf.strings.substr(file, 24, 1), tf.uint8)
    bits = tf.minimum(tf.cast(bits, tf.int32), 8)
    opaque = tf.cast(tf.bitwise.left_shift(1, bits) - 1, tf.uint8)
    return tf.cond(
        tf.reduce_all(alpha == opaque),
        lambda: color,
        lambda: _white(color, alpha),
    )


def _white(color: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """A picture before white, divided by 255 as Pillow does, to the bit."""
    color, alpha = tf.cast(color, tf.int32), tf.cast(alpha, tf.int32)
    sums = (color * alpha + 255 * (255 - alpha) + 128) * 128
    divided = (tf.bitwise.right_shift(sums, 8) + sums) // 256 // 128
    return tf.cast(divided, tf.uint8)


def _grey(image: tf.Tensor) -> tf.Tensor:
    parts = tf.split(image, 3, axis=-1)
    total = tf.constant(1 << 15)
    for part, weight in zip(parts, _LUMA, strict=True):
        total += weight * tf.cast(part, tf.int32)
    return tf.cast(total // 65536, tf.uint8)


def _transposed(image: tf.Tensor) -> tf.Tensor:
    return tf.transpose(image, (1, 0, 2))


# By what Exif calls 1 to 8.
_TURNS: tuple[Callable[[tf.Tensor], tf.Tensor], ...] = (
    tf.identity,
    lambda image: image[:, ::-1],
    lambda image: image[::-1, ::-1],
    lambda image: image[::-1],
    _transposed,
    lambda image: _transposed(image)[:, ::-1],
    lambda image: _transposed(image)[::-1, ::-1],
    lambda image: _transposed(image)[::-1],
)


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    branches = [lambda turn=turn: turn(image) for turn in _TURNS]
    return tf.switch_case(tf.cast(orientation - 1, tf.int32), branches)


def _resize(image: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    height, width, _ = shape
    image = _stretch(image, (tf.shape(image)[0], width))
    image = _stretch(image, (height, width))
    return tf.ensure_shape(image, shape)


def _stretch(image: tf.Tensor, size: tuple[int | tf.Tensor, int]) -> tf.Tensor:
    def lanczos() -> tf.Tensor:
        resized = tf.image.resize(image, size, "lanczos3", antialias=True)
        # Halves go up there.
        rounded = tf.floor(tf.clip_by_value(resized, 0, 255) + 0.5)
        return tf.cast(rounded, tf.uint8)

    same = tf.reduce_all(tf.shape(image)[:2] == tf.stack(size))
    return tf.cond(same, lambda: image, lanczos)
