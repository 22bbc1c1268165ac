"""Malformed and hostile requests to every signature, by the thousand.

    python tests/hostile.py --requests=10000

Requests go to the SavedModel as a server in C++ passes them on, which looks at
their types but at no shapes (`server.py`). Each has a finite answer, or is
refused in words. Anything else is a finding, and the status is 1: another
error, a number that is none, memory that is not given back.
"""

import argparse
import collections
import ctypes
import gc
import io
import os
import pathlib
import struct
import sys
import tempfile
import time
import traceback
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from server import Refused, Server

import mlvae_tf
from mlvae_tf import Level, serving

MODELS = {
    "one level": {"content_dim": 3, "style_flow": 2},
    "levels": {
        "levels": [
            Level("patient", 3),
            Level("visit", 3, parent="patient"),
            Level("site", 2),
        ],
        "likelihood": "normal",
        "activation": "relu",
        "missing_values": True,
        "style_given_content": True,
    },
}
SHAPE = (4, 4, 1)
# Bytes that may be kept, of what requests took. TensorFlow's own pool aside: of
# a gigabyte, for a picture of 64 million pixels, which comes first.
MEMORY = 128 << 20
DECODERS = "Invalid PNG", "Invalid JPEG", "jpeg::Uncompress"
WILD = (
    *(np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -1e-45, -0.0, 255, -1, 0.5),
    *(2.0**24, 1e6),
)


class Hostile:
    """Makes requests for the signatures of a model.

    Args:
        signatures: The signatures.
        generator: What chooses.
    """

    def __init__(self, signatures, generator):
        self._signatures, self._draw = signatures, generator

    def request(self, name):
        """One that holds, or is amiss in one to three ways."""
        rows = int(self._draw.choice([1, 2, 5, 40]))
        given = {
            key: self._whole(key, spec, rows)
            for key, spec in self._signatures.spec(name).items()
        }
        for _ in range(self._draw.integers(0, 4)):
            if given:
                key = str(self._draw.choice(list(given)))
                self._spoil(given, key)
        return given

    def _whole(self, key, spec, rows):
        shape = [rows if size is None else size for size in spec.shape]
        if key == "images":
            return np.array([self._picture() for _ in range(rows)], object)
        if spec.dtype == tf.string:
            ids = self._draw.integers(0, 4, shape).astype(str)
            return ids.astype(object)
        return self._draw.uniform(0, 1, shape).astype(np.float32)

    def _spoil(self, given, key):
        how = self._draw.integers(0, 8)
        value = given[key]
        if how == 0:
            given[key] = self._reshaped(value)
        elif how == 1:
            given[key] = self._resized(value)
        elif how == 2 and self._draw.random() < 0.2:
            del given[key]
        elif how == 3 and self._draw.random() < 0.2:
            given["other"] = value
        elif how == 4 and self._draw.random() < 0.3:
            kind = self._draw.choice(["i4", "f8", "?", "c8"])
            given[key] = np.zeros(value.shape, kind)
        elif value.size and value.dtype in (np.float32, object):
            given[key] = value = value.copy()
            many = self._draw.integers(1, 4)
            for place in self._draw.integers(0, value.size, many):
                value.flat[place] = self._wild(key, value)

    def _reshaped(self, value):
        shapes = [
            value[np.newaxis],
            value[..., np.newaxis],
            value.reshape(-1),
            value.T,
            np.asarray(value[0], value.dtype)
            if value.size and value.ndim
            else value,
            value.reshape((1,) * 6 + value.shape),
        ]
        return shapes[self._draw.integers(0, len(shapes))]

    def _resized(self, value):
        if not value.size or not value.ndim:
            return value
        axis = self._draw.integers(0, value.ndim)
        size = self._draw.choice([0, 1, 2, 3, 7, 500 if axis == 0 else 9])
        shape = [*value.shape]
        shape[axis] = int(size)
        return np.resize(value, shape)

    def _wild(self, key, value):
        if value.dtype != object:
            return self._draw.choice(WILD)
        if key == "images":
            return self._damaged(self._picture())
        return [
            b"",
            b"\xff\xfe\x00",
            b"a" * 100_000,
            b"\0" * 5,
            "\u202e\U0001f600".encode(),
        ][self._draw.integers(0, 5)]

    def _picture(self):
        if self._draw.random() < 0.0003:
            return BOMB
        sides = self._draw.integers(1, 40, 2)
        pixels = self._draw.integers(0, 256, (*sides, 4), np.uint8)
        mode = self._draw.choice(["L", "RGB", "RGBA", "P", "1", "LA"])
        kind = self._draw.choice(["PNG", "JPEG"])
        image = Image.fromarray(pixels).convert(mode if kind == "PNG" else "L")
        exif = Image.Exif()
        exif[0x0112] = int(self._draw.integers(0, 12))
        buffer = io.BytesIO()
        image.save(buffer, kind, exif=exif)
        return buffer.getvalue()

    def _damaged(self, file):
        content = bytearray(file)
        place = int(self._draw.integers(0, min(len(content), 80)))
        if self._draw.random() < 0.3:
            place = int(self._draw.integers(0, len(content)))
        how = self._draw.integers(0, 5)
        if how == 0:
            content[place] ^= 1 << self._draw.integers(0, 8)
        elif how == 1:
            del content[place:]
        elif how == 2:
            number = self._draw.choice([0, 0x7FFFFFFF, 0xFFFFFFFF, 70000])
            content[place : place + 4] = struct.pack(">I", number)
        elif how == 3:
            content[place:place] = self._draw.bytes(9)
        else:
            content = self._draw.bytes(int(self._draw.integers(0, 200)))
        return bytes(content)


def _bomb():
    """A PNG of some kilobytes with 64 million pixels."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", 8000, 8000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(bytes(8001 * 8000), 9)),
            chunk(b"IEND", b""),
        ]
    )


BOMB = _bomb()


def outcome(server, name, request):
    """In a word, what became of a request; raises what nobody should see."""
    try:
        (answer,) = server.predict(name, request)
    except Refused:
        return "refused by the server"
    except tf.errors.InvalidArgumentError as error:
        said = error.message
        if "mlvae_tf: " in said:
            return "refused in words"
        if any(words in said for words in DECODERS):
            return "not decoded"
        raise
    for key, value in answer.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise FloatingPointError(f"{key} is not finite")
    return "answered"


def used():
    """Bytes of memory that this process has now, after giving back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def attack(name, settings, count, seed):
    """Make so many requests of a model.

    Returns:
        Whether all was well.
    """
    keras.utils.set_random_seed(seed)
    settings = {"style_dim": 2, "hidden_units": 8, **settings}
    model = mlvae_tf.MLVAE(SHAPE, **settings)
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder, "1")
        serving.export(model, place, pictures=True)
        server = Server(place, batching=False)
    signatures = serving.Signatures(model, pictures=True)
    hostile = Hostile(signatures, np.random.default_rng(seed))
    counts, found, slowest = collections.Counter(), set(), 0.0
    outcome(server, "encode_images", {"images": np.array([BOMB], object)})
    for number in range(count):
        signature = signatures.names[number % len(signatures.names)]
        request = hostile.request(signature)
        began = time.perf_counter()
        try:
            counts[outcome(server, signature, request)] += 1
        except Exception as error:
            text = f"{signature}: {type(error).__name__}: {error}"[:600]
            if text.splitlines()[0] not in found:
                found.add(text.splitlines()[0])
                shapes = {k: (v.shape, v.dtype) for k, v in request.items()}
                print(f"FOUND {text}\n{shapes}", flush=True)
                traceback.print_exc()
        slowest = max(slowest, time.perf_counter() - began)
        if number == count // 10:
            before = used()
    kept = used() - before
    said = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
    print(
        f"{name}: {said}; {count - counts.total()} found; slowest "
        f"{slowest:.2f} s; {kept / 2**20:.0f} MiB more than after a tenth"
    )
    return not found and kept < MEMORY


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    share = given.requests // len(MODELS)
    well = [
        attack(name, settings, share, given.seed)
        for name, settings in MODELS.items()
    ]
    return int(not all(well))


if __name__ == "__main__":
    sys.exit(main())
