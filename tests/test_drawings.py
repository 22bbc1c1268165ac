import dataclasses
import functools
import io

import numpy as np
import pytest
from PIL import Image

import mlvae_tf
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import drawings
from mlvae_tf.evaluation.names import Labels


def test_swap_grid_of_many_groups(make_model, generator):
    data = GroupedData.of(
        generator.uniform(size=(60, 4, 4, 1)), np.repeat(np.arange(20), 3)
    )
    picture = drawings.swap_grid(make_model(), data, max_groups=4)
    size = Image.open(io.BytesIO(picture)).size
    assert 0.8 < size[0] / size[1] < 1.25


def test_a_sample_shows_the_data(generator):
    images = generator.uniform(size=(9, 4, 4, 1)).astype(np.float32)
    data = GroupedData.of(images, np.array([*"aaaabbbcd"]))
    wide, narrow = (
        Image.open(io.BytesIO(drawings.sample_grid(data, columns=columns))).size
        for columns in (8, 2)
    )
    assert wide[0] > 1.6 * narrow[0]  # Four columns: as many as a group has.
    assert wide[1] == pytest.approx(narrow[1], rel=0.1)
    colours = framed(drawings.sample_grid(data))
    assert colours.min(0).max() < 0.2
    assert colours.max(0).min() > 0.9


def framed(picture):
    """Where the orange frames of originals are, in shares of the picture."""
    image = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), int)
    distance = np.abs(image - [0xD1, 0x57, 0x1B]).sum(-1)
    return np.argwhere(distance < 30) / image.shape[:2]


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 3), (20,), (20, 2)])
def test_pictures_of_control_mark_the_originals(shape, generator):
    model = mlvae_tf.MLVAE(shape, 2, 2, hidden_units=4, seed=0)
    data = GroupedData.of(
        generator.uniform(size=(24, *shape)).astype(np.float32),
        np.repeat(["ann", "bob", "eve", "joe"], 6),
    )
    swap = framed(drawings.swap_grid(model, data))
    assert (swap.min(0) < 0.2).all()
    assert (swap.max(0) > 0.8).all()
    # Interpolation: two originals on each margin, none in the middle of one.
    ends = framed(drawings.interpolation_grid(model, data, steps=6))
    assert len(ends)
    middle = (ends > 0.45) & (ends < 0.6)
    assert not middle.any()
    left = framed(drawings.generation_grid(model, data))
    assert left[:, 1].max() < 0.3
    assert left[:, 0].max() < 0.7  # The last rows are from the prior.
    above = framed(drawings.reconstruction_grid(model, data))
    assert above[:, 0].max() < 0.6
    assert above[:, 1].max() > 0.9


def test_interpolation_begins_and_ends_at_reconstructions(
    make_model, generator
):
    """What the picture shows at its corners is what the API says."""
    model = make_model(dtype="float32")
    data = generator.uniform(size=(2, 4, 4, 1)).astype(np.float32)
    cells = mlvae_tf.control.interpolate(model, data[:1], data[1:], 3)
    expected = mlvae_tf.control.reconstruct(model, data, np.array([0, 1]))
    np.testing.assert_allclose(cells[0, 0], expected[0], atol=1e-6)
    np.testing.assert_allclose(cells[2, 2], expected[1], atol=1e-6)


def test_a_swap_may_take_the_content_of_one_observation(make_model, generator):
    model = make_model()
    images = generator.uniform(size=(9, 4, 4, 1))
    other = images.copy()
    other[1::3] = 0  # Neither the first of a group, nor the last: its style.
    pictures = [
        drawings.swap_grid(
            model,
            GroupedData.of(observations, np.repeat(np.arange(3), 3)),
            evidence_count=count,
        )
        for count in (1, 10)
        for observations in (images, other)
    ]
    assert pictures[0] == pictures[1]
    assert pictures[2] != pictures[3]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("draw", "count"),
    [
        (functools.partial(drawings.swap_grid, max_groups=11), 11),
        (drawings.interpolation_grid, 2),
        (drawings.generation_grid, 5),
        (drawings.reconstruction_grid, 6),
    ],
)
def test_any_name_is_drawn_as_it_stands(
    make_model, generator, strange_names, texts, draw, count
):
    data = GroupedData.of(
        generator.uniform(size=(33, 4, 4, 1)), np.repeat(np.arange(11), 3)
    )
    # Not by `of`, which refuses what is no UTF-8.
    data = dataclasses.replace(data, groups=np.array(list(strange_names)))
    draw(make_model(), data)
    drawn = {text.get_text() for text in texts}
    assert len(drawn & set(strange_names.values())) == count
    assert drawn >= {"US$1_bill_$", "ZhangWei"}
    assert not any(text.get_parse_math() for text in texts)


def test_pictures_share_what_is_drawn_for_a_name(make_model, generator, texts):
    data = GroupedData.of(
        generator.uniform(size=(6, 4, 4, 1)), np.repeat(["b" * 99, "b" * 98], 3)
    )
    labels = Labels({"b" * 99: "bbb", "b" * 98: "bb"})
    drawings.swap_grid(make_model(), data, labels=labels)
    drawings.swap_grid(make_model(), data[3:], labels=labels)
    drawn = [text.get_text() for text in texts]
    assert sorted(text for text in drawn if text[0] == "b") == [
        "bb",
        "bb",
        "bbb",
    ]
