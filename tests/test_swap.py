"""swap.py: a person's own pictures, swapped."""

import numpy as np
import pytest
from pictures import write_images
from PIL import Image
from scripts import assert_fails, script


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(["a", "b"])


@pytest.fixture
def people(tmp_path):
    write_images(tmp_path, ("ann", "bob"), 3, shape=(9, 7, 3))
    return tmp_path


def swap(run, people, content, style, *flags):
    places = {"content": content, "style": style}
    return script(
        "swap.py",
        f"--workdir={run}",
        f"--output={people / 'out.png'}",
        *(
            f"--{name}={','.join(str(people / place) for place in of)}"
            for name, of in places.items()
        ),
        *flags,
    )


def test_a_grid_of_files_and_folders(run, people):
    process = swap(run, people, ["ann", "bob/1.png"], ["bob", "ann/0.png"])
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("2 contents in 4 styles: ")
    with Image.open(people / "out.png") as picture:
        width, height = picture.size
        assert height > width > 100
        assert np.asarray(picture.convert("L")).std() > 10


def test_the_output_is_not_replaced_unasked(run, people):
    (people / "out.png").write_bytes(b"mine")
    process = swap(run, people, ["ann"], ["bob"])
    assert_fails(process, "exists already", "--overwrite")
    assert (people / "out.png").read_bytes() == b"mine"
    assert swap(run, people, ["ann"], ["bob"], "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("content", "flags", "words"),
    [
        (["eve"], [], "no such file or folder"),
        ([], [], "--content is required"),
        (["empty"], [], "holds no pictures"),
        (["notes.txt"], [], "notes.txt is no picture"),
        (["ann"], ["--output=x.jpg"], "must be a .png file"),
    ],
)
def test_bad_input(run, people, content, flags, words):
    (people / "empty").mkdir()
    (people / "notes.txt").write_text("words")
    assert_fails(swap(run, people, content, ["bob"], *flags), words)
    assert not (people / "out.png").exists()


def test_a_model_of_no_pictures(run, people):
    from mlvae_tf.runs import pictures

    with pytest.raises(ValueError, match=r"shape \[7\]: pictures are"):
        pictures.read([people / "ann" / "0.png"], (7,))
    found = pictures.read([people / "ann" / "0.png"], (4, 5, 1))
    assert found.shape == (1, 4, 5, 1)
