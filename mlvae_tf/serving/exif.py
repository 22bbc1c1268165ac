"""How a photograph has to be turned, read within a graph.

TensorFlow decodes pictures, but does not read what cameras note in them.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

_READ = 1 << 16  # Bytes of a file: one segment of a JPEG has no more.
_MOST_ENTRIES = 512
_LITTLE, _BIG = 0x4949, 0x4D4D  # II and MM.
_TAG, _LONG = 0x0112, 4  # Of the orientation; of numbers of four bytes.

_Number = Callable[[tf.Tensor, int], tf.Tensor]


def orientation(file: tf.Tensor) -> tf.Tensor:
    """1, upright, to 8, as Exif numbers them; 1 where nothing can be read.

    As `data.images` reads them: of a PNG what stands before the pixels.

    Args:
        file: A PNG or JPEG file, a scalar string.

    Returns:
        int64, a scalar.
    """
    head = tf.strings.substr(file, 0, _READ)
    values = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int64)
    of_jpeg, of_png = _find(values, b"Exif\0\0"), _find(values, b"eXIf")
    of_png = tf.where(of_png < _find(values, b"IDAT"), of_png, _nowhere(values))
    start = tf.minimum(of_jpeg + 6, of_png + 4)
    little = _at(values, start) == ord("I")

    def number(place: tf.Tensor, size: int) -> tf.Tensor:
        """The numbers of `size` bytes at some places."""
        steps = tf.range(size, dtype=tf.int64)
        read = _at(values, place[..., tf.newaxis] + steps)
        read = tf.where(little, read, read[..., ::-1])
        return tf.reduce_sum(tf.bitwise.left_shift(read, 8 * steps), axis=-1)

    found = _entry(start, number)
    order = number(start, 2)  # Which is the same from either end.
    good = (order == _LITTLE) | (order == _BIG)
    return tf.where(good & (found >= 1) & (found <= 8), found, 1)


def _entry(start: tf.Tensor, number: _Number) -> tf.Tensor:
    """The orientation in the first directory of a TIFF header, 0 for none."""
    directory = start + number(start + 4, 4)
    count = tf.minimum(number(directory, 2), _MOST_ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)
    is_long = number(entries + 2, 2) == _LONG
    values = tf.where(is_long, number(entries + 8, 4), number(entries + 8, 2))
    chosen = number(entries, 2) == _TAG
    # Of no entry the maximum is the least number.
    return tf.reduce_max(tf.where(chosen, values, 0))


def _nowhere(values: tf.Tensor) -> tf.Tensor:
    return tf.size(values, tf.int64)


def _at(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Bytes at places, 0 beyond the end."""
    inside = (places >= 0) & (places < _nowhere(values))
    padded = tf.concat([values, [0]], axis=0)
    return tf.gather(padded, tf.where(inside, places, _nowhere(values)))


def _find(values: tf.Tensor, text: bytes) -> tf.Tensor:
    """Where a text stands first; past the end, if it does not."""
    starts = tf.range(_nowhere(values))
    here = [
        _at(values, starts + step) == byte for step, byte in enumerate(text)
    ]
    found = tf.boolean_mask(starts, tf.reduce_all(here, axis=0))
    return tf.concat([found, [_nowhere(values)]], axis=0)[0]
