"""`folder:PATH`: pictures by group, and everything else that lies there."""

import os
import shutil

import numpy as np
import pytest
from pictures import load, photograph, short, write_images
from PIL import Image

from mlvae_tf.errors import InputError


def notes(folder, **settings):
    return "\n".join(load(f"folder:{folder}", **settings).notes)


def test_groups_are_folders(tmp_path):
    write_images(tmp_path)
    train = load(f"folder:{tmp_path}").train
    assert train.observations.shape == (6, 6, 5, 1)
    assert train.group_ids.tolist() == ["ann"] * 3 + ["bob"] * 3
    shades = train.observations[:, 0, 0, 0]
    assert shades.tolist() == [0, 1, 2, 100, 101, 102]


def test_splits(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "test", ("bob", "eve"), 2)
    splits = load(f"folder:{tmp_path}")
    assert len(splits.train) == 6
    assert splits.test.group_ids.tolist() == ["bob"] * 2
    assert splits.unseen.group_ids.tolist() == ["eve"] * 2


def test_groups_named_train_and_test(tmp_path):
    write_images(tmp_path, ("test", "train"))
    assert set(load(f"folder:{tmp_path}").train.group_ids) == {
        "test",
        "train",
    }


def test_resized_and_in_colour(tmp_path):
    write_images(tmp_path, ("a",))
    write_images(tmp_path, ("b",), shape=(9, 9, 3))
    config = {"image_size": 8, "colors": "rgb"}
    train = load(f"folder:{tmp_path}", **config).train
    assert train.observations.shape == (6, 8, 8, 3)
    assert np.all(train.observations[1] == 1)


def test_jpeg_and_colour_as_it_is(tmp_path):
    (tmp_path / "a").mkdir()
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    image.save(tmp_path / "a" / "1.JPG", quality=95)
    train = load(f"folder:{tmp_path}").train
    pixel = train.observations[0, 4, 4].astype(int)
    assert np.abs(pixel - [200, 100, 50]).max() <= 3


def test_sixteen_bits(tmp_path):
    (tmp_path / "a").mkdir()
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a" / "1.png")
    train = load(f"folder:{tmp_path}").train
    assert train.observations.ravel().tolist() == list(range(256))


def test_transparent_is_white_whatever_colour_hides_there(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a/1.png")
    assert np.all(load(f"folder:{tmp_path}").train.observations == 255)


def test_photographs_stand_upright(tmp_path):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("L", (12, 8))
    image.save(tmp_path / "a" / "1.jpg", exif=exif)
    train = load(f"folder:{tmp_path}").train
    assert train.observations.shape == (1, 12, 8, 1)


def test_sizes_that_differ(tmp_path):
    write_images(tmp_path, ("a",))
    write_images(tmp_path, ("b",), shape=(7, 7))
    with pytest.raises(ValueError, match=r"one size.*--image_size"):
        load(f"folder:{tmp_path}")


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=r"no group folders: expected"):
        load(f"folder:{tmp_path}")


def test_images_without_groups(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match=r"no group folders: expected"):
        load(f"folder:{tmp_path}")


def test_a_group_without_images(tmp_path):
    write_images(tmp_path)
    (tmp_path / "zoe").mkdir()
    with pytest.raises(ValueError, match=r"zoe has no pictures"):
        load(f"folder:{tmp_path}")


def test_a_missing_folder(tmp_path):
    with pytest.raises(ValueError, match="there is no such folder"):
        load(f"folder:{tmp_path}/nope")


@pytest.mark.parametrize("kept", [0, 20, 50])
def test_a_truncated_image(tmp_path, kept):
    write_images(tmp_path, shape=(60, 50))
    path = tmp_path / "bob" / "1.png"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"1 of 6 .*bob/1.png (cannot|is no)"):
        load(f"folder:{tmp_path}")


# What else lies in folders.

FORMATS = {
    "pgm": "PPM",
    "ppm": "PPM",
    "jfif": "JPEG",
    "jpe": "JPEG",
    "bmp": "BMP",
    "webp": "WEBP",
    "tif": "TIFF",
    "gif": "GIF",
    "avif": "AVIF",
}


@pytest.mark.parametrize("suffix", [*FORMATS, "BMP", ""])
def test_pictures_that_can_be_read_are_read(tmp_path, suffix):
    write_images(tmp_path)
    name = f"x.{suffix}" if suffix else "x"
    picture = Image.new("L", (5, 6), 50)
    picture.save(tmp_path / "ann" / name, FORMATS.get(suffix.lower(), "PNG"))
    splits = load(f"folder:{tmp_path}", colors="grey")
    assert len(splits.train) == 7
    shade = int(splits.train.observations[3, 2, 2, 0])
    assert abs(shade - 50) < 5
    assert splits.notes[0] == "7 images in 2 groups"


def test_what_is_passed_over_is_counted_and_named(tmp_path):
    write_images(tmp_path)
    (tmp_path / "ann" / "notes.txt").write_text("seen in May")
    (tmp_path / "bob" / "1.json").write_text("{}")
    (tmp_path / "bob" / ".hidden.png").write_bytes(b"")
    os.mkfifo(tmp_path / "bob" / "pipe.png")  # Would be waited for.
    Image.new("L", (5, 6)).save(tmp_path / "loose.png")
    assert notes(tmp_path).splitlines()[0] == (
        "6 images in 2 groups; 5 files passed over (first: "
        f"{tmp_path}/loose.png)"
    )


@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "desktop.ini", "._1.png", "THUMBS.DB"]
)
def test_litter_is_no_word_worth(tmp_path, name):
    write_images(tmp_path)
    (tmp_path / "ann" / name).write_bytes(b"\0")
    (tmp_path / name).write_bytes(b"\0")
    (tmp_path / "__MACOSX").mkdir()
    assert notes(tmp_path).splitlines()[0] == "6 images in 2 groups"


def test_a_folder_within_a_group(tmp_path):
    write_images(tmp_path)
    (tmp_path / "ann" / "inner").mkdir()
    with pytest.raises(InputError, match=r"inner is a folder within a group"):
        load(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "names", [("train", "val"), ("Train", "Test"), ("train", "test", "valid")]
)
def test_splits_under_other_names(tmp_path, names):
    for name in names:
        write_images(tmp_path / name)
    with pytest.raises(InputError, match=r"expected train, and test.*Rename"):
        load(f"folder:{tmp_path}")


def test_colours_are_made_one(tmp_path):
    write_images(tmp_path, ("a",))
    write_images(tmp_path, ("b",), shape=(6, 5, 3))
    assert load(f"folder:{tmp_path}").train.observations.shape[1:] == (6, 5, 3)
    assert "3 of 6 images are grey: all are read as RGB" in notes(tmp_path)


def test_the_test_split_is_read_like_that_of_training(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "test", shape=(6, 5, 3))
    splits = load(f"folder:{tmp_path}")
    assert splits.test.observations.shape[1:] == (6, 5, 1)


def test_twelve_bits_in_sixteen_are_scaled_and_said(tmp_path):
    for group in ("a", "b"):
        (tmp_path / group).mkdir()
        for i in range(3):
            pixels = np.full((4, 4), i * 2047, np.uint16)
            Image.fromarray(pixels).save(tmp_path / group / f"{i}.png")
    shades = load(f"folder:{tmp_path}").train.observations[:, 0, 0, 0]
    assert shades.tolist() == [0, 127, 254] * 2
    assert (
        "6 of 6 images have more than 8 bits per pixel; they hold 12"
        in notes(tmp_path)
    )


def test_a_name_that_is_no_text(tmp_path):
    write_images(tmp_path)
    os.rename(tmp_path / "bob", os.fsencode(tmp_path) + b"/M\xfcller")
    with pytest.raises(InputError, match=r"not UTF-8, the first .*M\\xfcller"):
        load(f"folder:{tmp_path}")


def test_a_file_whose_name_is_no_text_is_read(tmp_path):
    write_images(tmp_path)
    ann = os.fsencode(tmp_path / "ann")
    os.rename(ann + b"/1.png", ann + b"/M\xfcller.png")
    assert len(load(f"folder:{tmp_path}").train) == 6
    (tmp_path / "bob" / "0.png").write_bytes(b"")
    with open(ann + b"/M\xfcller.png", "wb") as file:
        file.write(b"")
    with pytest.raises(InputError, match=r"2 of 6 .*M\\xfcller\.png.*0\.png"):
        load(f"folder:{tmp_path}")


# Damage.


@pytest.fixture
def damaged(tmp_path):
    """Twelve of forty files damaged: some in their headers, some behind."""
    generator = np.random.default_rng(0)
    for group in range(4):
        (tmp_path / str(group)).mkdir()
        for i in range(10):
            path = tmp_path / str(group) / f"{i}.png"
            pixels = generator.integers(0, 256, (40, 30), np.uint8)
            Image.fromarray(pixels).save(path)
            if i < 3:
                path.write_bytes(path.read_bytes()[: (600, 600, 10)[i]])
    return tmp_path


@pytest.mark.parametrize("memory_gb", [2.0, 0.0])
def test_all_that_is_damaged_is_listed_at_once(damaged, memory_gb):
    with pytest.raises(InputError) as raised:
        load(f"folder:{damaged}", memory_gb=memory_gb)
    message = str(raised.value)
    assert message.startswith("12 of 40 observations cannot be read: ")
    assert message.count(".png") == 10
    assert "; and 2 more. " in message
    assert "--skip_bad" in message


@pytest.mark.parametrize("memory_gb", [2.0, 0.0])
def test_damage_is_skipped_when_asked(damaged, memory_gb):
    splits = load(f"folder:{damaged}", memory_gb=memory_gb, skip_bad=True)
    assert len(splits.train) == 28
    assert splits.train.observations[:].shape == (28, 40, 30, 1)
    assert len(splits.skipped) == 12
    assert all("cannot be decoded" in reason for reason in splits.skipped[:2])


@pytest.mark.parametrize("skip_bad", [False, True])
def test_nothing_that_can_be_read(tmp_path, skip_bad):
    write_images(tmp_path)
    for path in tmp_path.glob("*/*.png"):
        path.write_bytes(b"GIF89a")
    with pytest.raises(InputError, match=r"(6 of 6|none of the 6)"):
        load(f"folder:{tmp_path}", skip_bad=skip_bad)


def test_damage_found_while_reading_from_the_disk_lists_all(tmp_path):
    write_images(tmp_path, shape=(60, 50))
    train = load(f"folder:{tmp_path}", memory_gb=0.0).train
    for name in ("ann/0.png", "bob/2.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:60])
    with pytest.raises(InputError, match=r"2 of 6 .*ann/0.*bob/2"):
        train.observations[:1]


# What has changed since a training.


def test_what_was_trained_on_stays_so_whatever_comes(tmp_path, generator):
    write_images(tmp_path, ("a", "b", "c"), 15)
    before = load(f"folder:{tmp_path}", holdout_observations=0.2)
    write_images(tmp_path, ("zed",), 5)
    for group in "abc":
        for name in ("00.png", "7b.png", "z.png"):  # Before, between, after.
            shade = generator.integers(0, 256, (6, 5), np.uint8)
            Image.fromarray(shade).save(tmp_path / group / name)
    os.rename(tmp_path / "a" / "3.png", tmp_path / "a" / "renamed.png")
    after = load(f"folder:{tmp_path}", trained=before.train.keys)
    assert set(after.train.keys) == set(before.train.keys)
    assert set(before.validation.keys) < set(after.validation.keys)
    assert len(after.validation) == 9 + 9
    assert set(after.unseen.group_ids.tolist()) == {"zed"}


def test_what_is_gone_is_said(tmp_path):
    write_images(tmp_path, ("a", "b"), 10)
    before = load(f"folder:{tmp_path}")
    for i in range(4):
        (tmp_path / "a" / f"{i}.png").unlink()
    after = load(f"folder:{tmp_path}", trained=before.train.keys)
    assert len(after.train) == 16
    assert after.validation is None
    assert "4 of the 20 observations trained on are gone" in after.notes


def test_a_copy_elsewhere_is_divided_alike(tmp_path):
    write_images(tmp_path / "one", ("a", "b"), 10)
    before = load(f"folder:{tmp_path}/one", holdout_observations=0.3)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    after = load(f"folder:{tmp_path}/two", holdout_observations=0.3)
    assert np.array_equal(before.train.keys, after.train.keys)


def test_photographs_with_odd_metadata_are_trained_on(tmp_path):
    write_images(tmp_path, shape=(8, 12))
    photograph(tmp_path / "ann" / "phone.jpg", [short(0x0112, 9)])
    for memory_gb in (2.0, 0.0):
        splits = load(f"folder:{tmp_path}", memory_gb=memory_gb)
        assert splits.train.observations.shape == (7, 8, 12, 1)


def write_crossed(folder, people=("ann", "bob"), lights=("dark", "day")):
    """PATH/PERSON/LIGHT/N.png, the shade telling person and light."""
    for p, person in enumerate(people):
        for i, light in enumerate(lights):
            shade = Image.new("L", (6, 5), 100 * p + 10 * i)
            (folder / person / light).mkdir(parents=True)
            for number in range(2):
                shade.save(folder / person / light / f"{number}.png")


def test_levels_are_folders_one_within_the_other(tmp_path):
    write_crossed(tmp_path)
    (tmp_path / "bob" / "notes.txt").write_text("x")
    splits = load(f"folder:{tmp_path}", groups=("person", "light"))
    train = splits.train
    shades = train.observations[:, 0, 0, 0].tolist()
    assert shades == [0, 0, 10, 10, 100, 100, 110, 110]
    person, light = train.levels.values()
    assert list(train.levels) == ["person", "light"]
    assert person.ids.tolist() == ["ann"] * 4 + ["bob"] * 4
    assert light.ids.tolist() == (["dark"] * 2 + ["day"] * 2) * 2
    said = "8 images in 2 groups of person, 2 groups of light; 1 files passed"
    assert said in "\n".join(splits.notes)


def test_levels_within_others_and_splits(tmp_path):
    write_crossed(tmp_path / "train")
    write_crossed(tmp_path / "test", people=("bob", "eve"))
    settings = {"groups": ("person", "light"), "parents": ("light:person",)}
    splits = load(f"folder:{tmp_path}", **settings)
    assert splits.train.levels["light"].groups.tolist() == [
        *("ann/dark", "ann/day", "bob/dark", "bob/day")
    ]
    assert splits.test.levels["light"].groups.tolist() == [
        *("bob/dark", "bob/day")
    ]
    assert splits.unseen.groups.tolist() == ["eve"]


def test_folders_that_are_not_as_deep_as_levels(tmp_path):
    write_crossed(tmp_path)
    with pytest.raises(InputError, match=r"within a group.*--groups=person,li"):
        load(f"folder:{tmp_path}")
    with pytest.raises(InputError, match=r"no folders of c: .*PATH/A/B/C/\*"):
        load(f"folder:{tmp_path}", groups=("a", "b", "c"))


def test_a_move_to_another_light_is_the_same_picture(tmp_path):
    write_crossed(tmp_path)
    settings = {"groups": ("person", "light")}
    before = load(f"folder:{tmp_path}", **settings).train.keys
    shutil.move(tmp_path / "ann" / "dark", tmp_path / "ann" / "night")
    after = load(f"folder:{tmp_path}", **settings).train.keys
    assert sorted(before) == sorted(after)
