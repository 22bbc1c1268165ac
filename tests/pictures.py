"""Folders of small pictures, and what people's files do to them."""

import pathlib
import struct

import numpy as np
from PIL import Image

from mlvae_tf import likelihoods
from mlvae_tf.data import loading
from mlvae_tf.data.config import DataConfig


def load(spec, likelihood=None, seed=0, trained=None, **settings):
    """The splits of a SPEC, of which nothing is held out by default."""
    settings.setdefault("holdout_observations", 0.0)
    config = DataConfig(dataset=spec, **settings)
    likelihood = likelihood or likelihoods.Normal()
    return loading.load(config, seed, likelihood, trained)


def write_images(folder, groups=("ann", "bob"), count=3, shape=(6, 5)):
    """PATH/GROUP/N.png, each of one shade of its own."""
    for g, group in enumerate(groups):
        (folder / group).mkdir(parents=True)
        for i in range(count):
            pixels = np.full(shape, 100 * g + i, np.uint8)
            Image.fromarray(pixels).save(folder / group / f"{i}.png")


def photograph(path, tags, shape=(8, 12)):
    """A JPEG whose EXIF block has these entries, 12 bytes each."""
    block = struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + block
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", shape[::-1], 99).save(path, "JPEG", exif=exif)


def short(tag, value):
    """An EXIF entry: one unsigned number of 16 bits."""
    return struct.pack("<HHIHH", tag, 3, 1, value, 0)
