import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf import Level, control, noise
from mlvae_tf.errors import InputError


@pytest.fixture
def setting(make_model, batch):
    """Model, observations, ids, and each group's accumulated content."""
    model = make_model()
    observations, ids = batch["observations"], batch["group_ids"]
    groups, content = model.infer_content(observations, ids)
    return model, observations, ids, dict(zip(groups, content.loc.numpy()))


def decoded(model, content, style):
    return model.decode(np.atleast_2d(content), np.atleast_2d(style)).mean()


def test_reconstruct(setting):
    model, observations, ids, contents = setting
    style = model.infer_style(observations).loc
    accumulated = control.reconstruct(model, observations, ids)
    expected = decoded(model, [contents[i] for i in ids], style)
    np.testing.assert_allclose(accumulated, expected, rtol=1e-10)
    single = control.reconstruct(model, observations, ids, accumulate=False)
    proposed, _ = model.encode(observations)
    expected = decoded(model, proposed.loc, style)
    np.testing.assert_allclose(single, expected, rtol=1e-10)


def test_swap(setting):
    model, observations, ids, contents = setting
    swapped = control.swap(model, observations[ids == "b"], observations)
    style = model.infer_style(observations).loc
    expected = decoded(model, [contents["b"]] * 12, style)
    np.testing.assert_allclose(swapped, expected, rtol=1e-10)


def test_interpolation_ends_at_the_two(setting):
    model, observations, ids, contents = setting
    first, second = (observations[ids == group] for group in "ab")
    grid = control.interpolate(model, first, second, steps=5)
    assert grid.shape == (5, 5, 4, 4, 1)
    styles = [model.infer_style(part[:1]).loc for part in (first, second)]
    for row, style in ((0, styles[0]), (-1, styles[1])):
        for column, group in ((0, "a"), (-1, "b")):
            expected = decoded(model, contents[group], style)[0]
            np.testing.assert_allclose(grid[row, column], expected, 1e-10)
    middle = decoded(
        model, (contents["a"] + contents["b"]) / 2, sum(styles) / 2
    )
    np.testing.assert_allclose(grid[2, 2], middle[0], rtol=1e-10)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x * np.nan, "NaN"),
        (lambda x: x * 255, r"in \[0, 1\]"),
        (lambda x: x[:, :2], "must have shape"),
        (lambda x: x[:0], "at least one observation"),
    ],
)
def test_bad_observations(setting, spoil, message):
    model, observations, ids, _ = setting
    bad = spoil(observations)
    with pytest.raises(ValueError, match=message):
        control.swap(model, bad, observations)
    with pytest.raises(ValueError, match=message):
        control.reconstruct(model, bad, ids[: len(bad)])


def test_latents_of_other_sizes(setting):
    model = setting[0]
    with pytest.raises(ValueError, match=r"content \[N, 3\] and style"):
        model.decode(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(4, 2\)"):
        model.decode(np.zeros((2, 3)), np.zeros((4, 2)))


def test_generate(setting):
    model, observations, ids, contents = setting
    given = control.generate(model, 6, observations[ids == "b"], seed=1)
    free = control.generate(model, 6, seed=1)
    assert given.shape == free.shape == (6, 4, 4, 1)
    assert np.unique(given, axis=0).shape[0] == 6  # Six styles.
    again = control.generate(model, 6, observations[ids == "b"], seed=1)
    np.testing.assert_array_equal(given, again)
    other = control.generate(model, 6, observations[ids == "b"], seed=2)
    assert not np.allclose(given, other)
    # The same styles, whichever the content.
    of_call = noise.of_step(1, noise.Stream.GENERATION, 0)
    of_styles, of_content = noise.split(of_call)
    style = noise.normal(of_styles, 6, 2, dtype="float64")
    content = noise.normal(of_content, 1, 3, dtype="float64")
    expected = decoded(model, [contents["b"]] * 6, style)
    np.testing.assert_allclose(given, expected, rtol=1e-10)
    expected = decoded(model, np.repeat(content, 6, axis=0), style)
    np.testing.assert_allclose(free, expected, rtol=1e-10)


def test_combine_takes_each_level_from_its_own_observations(make_model, batch):
    model = make_model(levels={"person": 3, "light": 2})
    images = batch["observations"]
    of_person, of_light, styles = images[:3], images[3:5], images[5:9]
    drawn = control.combine(
        model, {"person": of_person, "light": of_light}, styles
    )
    person, light = (
        model.infer_content(
            part, {"person": [0] * len(part), "light": [0] * len(part)}
        )
        for part in (of_person, of_light)
    )
    contents = {
        "person": tf.repeat(person["person"][1].loc, 4, axis=0),
        "light": tf.repeat(light["light"][1].loc, 4, axis=0),
    }
    style = model.infer_style(styles).loc
    expected = model.decode(contents, style).mean()
    np.testing.assert_allclose(drawn, expected, rtol=1e-10)


def test_a_level_that_is_left_out_is_drawn(make_model, batch):
    model = make_model(levels={"person": 3, "light": 2})
    images = batch["observations"]
    first, same, other = (
        control.combine(model, {"person": images[:3]}, images[:2], seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0
    with pytest.raises(InputError, match="person, light: got 'plce'"):
        control.combine(model, {"plce": images}, images)


def test_swap_is_a_case_of_combine(make_model, batch):
    model = make_model()
    images = batch["observations"]
    np.testing.assert_array_equal(
        control.swap(model, images[:3], images[3:]),
        control.combine(model, {"content": images[:3]}, images[3:]),
    )


def test_inner_levels_are_generated_around_their_outer_ones(make_model):
    levels = [Level("patient", 3), Level("visit", 3, parent="patient")]
    model = make_model(levels=levels)
    model.visit_spread.log_precision.assign([14.0] * 3)  # No spread at all.
    drawn = control._from_prior(model.codec, 5)["visit"]
    model.visit_spread.log_precision.assign([-14.0] * 3)
    wide = control._from_prior(model.codec, 5)["visit"]
    assert np.abs(drawn).max() < 6
    assert np.abs(wide).max() > 50
