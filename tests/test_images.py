"""One picture from a file, whatever its metadata say."""

import struct

import numpy as np
import pytest
from pictures import photograph, short
from PIL import Image

from mlvae_tf.data import images
from mlvae_tf.data.observations import DamagedError

ORIENTATION = 0x0112


def text(tag, value):
    return struct.pack("<HHI4s", tag, 2, len(value) + 1, value)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_headers_agree_with_the_decoded(tmp_path, mode, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.new(mode, (12, 8))
    for name in ["1.png"] + ["1.jpg"] * (mode in ("L", "RGB")):
        path = tmp_path / name
        image.save(path, exif=exif)
        look = images.look(path)
        size = (8, 12) if orientation == 1 else (12, 8)
        assert (look.height, look.width) == size
        channels = 1 if look.grey else 3
        assert images.decode(path).shape == (*size, channels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_as_pillow_turns_it(tmp_path, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    Image.fromarray(pixels).save(tmp_path / "1.png", exif=exif)
    with Image.open(tmp_path / "1.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(images.decode(tmp_path / "1.png")[..., 0], expected)


@pytest.mark.parametrize(
    "tags",
    [
        [short(ORIENTATION, 9)],
        [short(ORIENTATION, 0)],
        [short(ORIENTATION, 65535)],
        [text(ORIENTATION, b"6")],
        [struct.pack("<HHII", ORIENTATION, 3, 0, 6)],  # No value at all.
        [struct.pack("<HHII", ORIENTATION, 10, 1, 9999)],  # Beyond the block.
        [struct.pack("<HHII", ORIENTATION, 99, 1, 6)],  # Of no known type.
    ],
)
def test_an_orientation_that_is_none_is_upright(tmp_path, tags):
    photograph(tmp_path / "1.jpg", tags)
    assert images.look(tmp_path / "1.jpg")[:2] == (8, 12)
    assert images.decode(tmp_path / "1.jpg").shape == (8, 12, 1)


def test_metadata_do_not_stop_a_photograph(tmp_path):
    """A rational of -2 / 0 in the block of the camera; the turn counts."""
    camera = struct.pack("<HHII", 0x8769, 4, 1, 38)
    block = struct.pack("<H", 2) + short(ORIENTATION, 6) + camera + bytes(4)
    rational = struct.pack("<HHII", 0x9204, 10, 1, 56)
    block += struct.pack("<H", 1) + rational + bytes(4)
    block += struct.pack("<ii", -2, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + block
    Image.new("RGB", (12, 8)).save(tmp_path / "1.jpg", exif=exif)
    assert images.look(tmp_path / "1.jpg")[:2] == (12, 8)
    assert images.decode(tmp_path / "1.jpg").shape == (12, 8, 3)


@pytest.mark.parametrize("kept", [0, 3, 20, 60])
def test_what_is_damaged_is_named(tmp_path, kept):
    path = tmp_path / "1.png"
    noise = np.random.default_rng(0).integers(0, 256, (60, 50), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedError, match=r"1\.png (cannot be|is no pict)"):
        images.decode(path)


def test_an_enormous_picture_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (30, 20)).save(tmp_path / "big.png")
    for read in (images.look, images.decode):
        with pytest.raises(DamagedError, match=r"big\.png cannot be.*600"):
            read(tmp_path / "big.png")


@pytest.mark.parametrize(
    "error",
    [struct.error("x"), TypeError("x"), KeyError("x"), MemoryError("x")],
)
def test_anything_that_decoding_raises_is_named(tmp_path, monkeypatch, error):
    Image.new("L", (4, 4)).save(tmp_path / "1.png")

    def fail(*args):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(DamagedError, match=r"1\.png cannot be decoded: .*x"):
        images.decode(tmp_path / "1.png")


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "1.tif")
    with pytest.raises(DamagedError, match="floating point"):
        images.decode(tmp_path / "1.tif")


@pytest.mark.parametrize(("depth", "shift"), [(12, 4095), (16, 65535)])
def test_deep_pixels_are_scaled_by_the_bits_that_they_hold(
    tmp_path, depth, shift
):
    ramp = np.linspace(0, shift, 256).round().astype(np.uint16)
    Image.fromarray(ramp.reshape(16, 16)).save(tmp_path / "1.png")
    assert images.largest(tmp_path / "1.png") == shift
    pixels = images.decode(tmp_path / "1.png", depth=depth).ravel().astype(int)
    assert np.abs(pixels - np.arange(256)).max() <= 1
    assert pixels.max() == 255


def test_a_grey_palette_is_grey(tmp_path):
    pixels = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16)
    pixels.save(tmp_path / "1.gif")
    pixels.convert("RGB").quantize(4).save(tmp_path / "2.png")
    for name in ("1.gif", "2.png"):
        assert images.look(tmp_path / name).grey
        assert images.decode(tmp_path / name).shape == (4, 4, 1)
    red = Image.new("RGB", (4, 4), (200, 0, 0)).quantize(2)
    red.save(tmp_path / "3.png")
    assert not images.look(tmp_path / "3.png").grey


def test_several_pictures_in_a_file(tmp_path):
    first, second = (Image.new("L", (4, 4), shade) for shade in (10, 200))
    for name in ("1.gif", "1.tif"):
        path = tmp_path / name
        first.save(path, save_all=True, append_images=[second])
        assert images.look(path).several
        assert images.decode(path).ravel()[0] == 10
    first.save(tmp_path / "2.gif")
    assert not images.look(tmp_path / "2.gif").several


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1", True),  # A picture without a suffix, told by its content.
        ("1.photo", True),
        ("1.JPG", True),
        ("1.heic", True),  # One that cannot be read here is no other file.
        ("1.txt", False),
        ("1.npy", False),
    ],
)
def test_what_is_a_picture(tmp_path, name, expected):
    path = tmp_path / name
    if name in ("1", "1.photo"):
        Image.new("L", (4, 4)).save(path, "PNG")
    else:
        path.write_text("just words")
    assert images.is_picture(path) == expected
