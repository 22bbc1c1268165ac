"""Pictures decoded in a graph are those that training reads (Pillow's)."""

import functools
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mlvae_tf import serving
from mlvae_tf.data import images
from mlvae_tf.likelihoods import Categorical
from mlvae_tf.serving import pictures

SIDES = 24, 32


@functools.cache
def graph(shape):
    spec = [tf.TensorSpec((None,), tf.string)]
    return tf.function(lambda files: pictures.decode(files, shape), spec)


def decoded(file, shape):
    return graph(shape)(tf.constant([file]))[0].numpy()


def differences(file, shape, tmp_path):
    """How many steps each value is from Pillow's."""
    path = tmp_path / "picture"
    path.write_bytes(file)
    colors = "grey" if shape[-1] == 1 else "rgb"
    expected = images.decode(path, shape[:2], colors).astype(int)
    return np.abs(decoded(file, shape) - expected)


def photograph(sides=SIDES, seed=0):
    """Smooth, with some noise."""
    generator = np.random.default_rng(seed)
    few = generator.integers(0, 256, (sides[0] // 8, sides[1] // 8, 3), "u1")
    image = Image.fromarray(few).resize(sides[::-1], Image.Resampling.BICUBIC)
    noise = generator.integers(-12, 13, (*sides, 3))
    return Image.fromarray(
        (np.asarray(image) + noise).clip(0, 255).astype("u1")
    )


def saved(image, kind, **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def turned(orientation, order=">"):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    return exif


def chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(bits, kind, channels, *chunks, sides=SIDES):
    """A PNG of noise, such as Pillow does not write."""
    generator = np.random.default_rng(0)
    size = (sides[1] * bits * channels + 7) // 8
    rows = b"".join(b"\0" + generator.bytes(size) for _ in range(sides[0]))
    header = struct.pack(">IIBBBBB", sides[1], sides[0], bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", header),
            *chunks,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def transparent(mode):
    image = photograph().convert(mode)
    image.putalpha(photograph(seed=1).convert("L"))
    return image


def files():
    """By name, files of the size that they are decoded to."""
    some = photograph()
    palette = chunk(b"PLTE", np.random.default_rng(1).bytes(12))
    key = chunk(b"tRNS", some.tobytes()[:6])
    return {
        **{
            f"PNG {mode}": saved(some.convert(mode), "PNG")
            for mode in ("RGB", "L", "P", "1")
        },
        "PNG RGBA": saved(transparent("RGB"), "PNG"),
        "PNG LA": saved(transparent("L"), "PNG"),
        "PNG, a transparent color": png(8, 2, 3, key),
        "PNG, 4 colors": png(2, 3, 1, palette),
        "PNG, 4 colors, one half transparent": png(
            2, 3, 1, palette, chunk(b"tRNS", bytes([128]))
        ),
        **{f"PNG, grey of {bits}": png(bits, 0, 1) for bits in (2, 4, 16)},
        "PNG, RGB of 16": png(16, 2, 3),
        "JPEG": saved(some, "JPEG"),
        "JPEG L": saved(some.convert("L"), "JPEG"),
        "JPEG CMYK": saved(some.convert("CMYK"), "JPEG"),
        "JPEG, progressive": saved(
            some, "JPEG", progressive=True, subsampling=0
        ),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_of_the_same_size_to_the_bit(channels, tmp_path):
    for name, file in files().items():
        found = differences(file, (*SIDES, channels), tmp_path)
        assert found.max() == 0, name


def test_resized_to_a_step_in_few_values(tmp_path):
    """Pillow's weights are rounded; where a half is near, a step apart."""
    for sides in ((200, 320), (11, 17), (24, 100)):
        file = saved(photograph((max(sides[0], 8), max(sides[1], 8))), "PNG")
        found = differences(file, (*SIDES, 3), tmp_path)
        assert found.max() <= 1
        assert np.mean(found > 0) < 0.002


def test_resized_from_the_edges_of_what_can_be(tmp_path):
    """Black and white overshoot, and a side may be of one pixel."""
    generator = np.random.default_rng(0)
    for sides in ((300, 200), (1, 1), (1, 50)):
        noise = 255 * generator.integers(0, 2, (*sides, 3), "u1")
        file = saved(Image.fromarray(noise), "PNG")
        found = differences(file, (*SIDES, 3), tmp_path)
        assert found.max() <= 1
        assert np.mean(found > 0) < 0.002


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_as_the_camera_was_held(kind, order, tmp_path):
    for orientation in range(1, 9):
        sides = SIDES if orientation < 5 else SIDES[::-1]
        file = saved(photograph(sides), kind, exif=turned(orientation, order))
        found = differences(file, (*SIDES, 3), tmp_path)
        assert found.max() == 0, orientation
        plain = saved(photograph(sides), kind)
        apart = np.any(
            decoded(file, (*SIDES, 3)) != decoded(plain, (*SIDES, 3))
        )
        assert apart == (orientation > 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda exif: exif.replace(b"MM", b"XX"),
        lambda exif: exif.replace(b"\x01\x12\0\x03", b"\x01\x12\0\x04"),
        lambda exif: exif[:20],
        lambda exif: exif.replace(struct.pack(">I", 8), b"\xff" * 4),
        lambda exif: exif.replace(b"\0\x06\0\0", b"\0\x09\0\0"),
    ],
)
def test_odd_notes_of_a_camera_are_passed_over(change, tmp_path):
    exif = turned(6).tobytes()
    assert exif.startswith(b"Exif\0\0MM")
    assert change(exif) != exif
    file = saved(photograph(), "JPEG", exif=change(exif))
    assert differences(file, (*SIDES, 3), tmp_path).max() == 0


def test_notes_behind_the_pixels_count_as_little_as_in_training(tmp_path):
    file = saved(photograph(), "PNG")
    end = chunk(b"IEND", b"")
    note = chunk(b"eXIf", turned(3).tobytes()[6:])
    file = file.replace(end, note + end)
    assert differences(file, (*SIDES, 3), tmp_path).max() == 0


HEADER = struct.pack(">IIBBBBB", 1 << 17, 1 << 17, 8, 2, 0, 0, 0)
BAD = {
    "nothing": (b"", "row 1 is neither"),
    "text": (b"<svg>", "images must be PNG or JPEG files: that of row 1"),
    "a GIF": (saved(photograph(), "GIF"), "row 1 is neither"),
    "a short PNG": (saved(photograph(), "PNG")[:20], "row 1 is neither"),
    "half a PNG": (saved(photograph(), "PNG")[:999], "Invalid PNG data"),
    "half a JPEG": (saved(photograph(), "JPEG")[:700], "Invalid JPEG data"),
    "the start of a JPEG": (b"\xff\xd8\xff\xe0", "Invalid JPEG data"),
    "a large PNG": (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", HEADER),
        "at most 67108864 pixels: that of row 1 is [131072 131072] high",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture(name):
    file, said = BAD[name]
    good = saved(photograph(), "PNG")
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        graph((*SIDES, 3))(tf.constant([good, file]))
    assert said in raised.value.message


def test_served(make_model, tmp_path):
    """The same answers as of the pixels; any values that the model takes."""
    model = make_model(dtype="float32", likelihood="poisson")
    serving.export(model, tmp_path / "1", pictures=True)
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    some = photograph((8, 8)).convert("L")
    pixels = np.asarray(some.resize((4, 4), Image.Resampling.LANCZOS))
    answer = served["encode_images"](images=[saved(some, "PNG")] * 2)
    counts = tf.constant(np.stack([pixels[..., np.newaxis]] * 2), tf.float32)
    expected = served["encode"](observations=counts)
    assert answer.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(answer[key], value, rtol=1e-5, atol=1e-5)
    nothing = served["encode_images"](images=tf.constant([], tf.string))
    assert nothing["content_loc"].shape == (0, 3)
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        served["encode_images"](images=tf.constant([[saved(some, "PNG")]]))
    assert "images must have shape [N]: got [1 1]" in raised.value.message


def test_classes_are_no_shades(make_model, tmp_path):
    model = make_model(dtype="float32", likelihood=Categorical(4))
    signatures = serving.Signatures(model, pictures=True)
    encode = tf.function(signatures.encode_images)
    file = saved(Image.new("L", (4, 4), 200), "PNG")
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        encode(tf.constant([file]))
    assert "images must be whole numbers" in raised.value.message


def test_only_of_pictures(make_model):
    for shape in ((4, 4, 2), (4, 4), (5,)):
        model = make_model(observation_shape=shape)
        signatures = serving.Signatures(model, pictures=True)
        assert "encode_images" not in signatures.names
    assert "encode_images" not in serving.Signatures(make_model()).names
