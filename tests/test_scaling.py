"""How numbers are read that nobody knows."""

import warnings

import numpy as np
import pytest

import mlvae_tf
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.runs import adapting, building, scaling
from mlvae_tf.runs.config import Config, ModelConfig


def chosen(values, ids=None, **settings):
    """What is chosen of observations, of one group unless ids say otherwise."""
    ids = np.zeros(len(values), int) if ids is None else ids
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = GroupedData.of(np.asarray(values), ids)
        return adapting.values(ModelConfig(**settings), data).settings


def test_channels_are_read_in_units_of_their_deviation(generator):
    size, center = np.array([1e-9, 500, 1e11, 1]), [7e-9, -40, 3, 1234567.8]
    wide = generator.normal(size=(300, 5, 4)) * size + center
    wide[0, 0, 0] = np.nan
    settings = chosen(wide)
    assert settings.pop("likelihood") == "normal"
    config = Config().replace({"likelihood": "normal", **settings})
    likelihood = building.make_likelihood(config.model)
    read = likelihood.encoded(wide[1:]).numpy()
    np.testing.assert_allclose(read.mean(axis=(0, 1)), 0, atol=0.01)
    np.testing.assert_allclose(read.std(axis=(0, 1)), 1, atol=0.01)
    drawn = likelihood.distribution(read)
    np.testing.assert_allclose(drawn.mean(), wide[1:], rtol=1e-6, atol=1e-9)
    ratio = drawn.stddev().numpy() / likelihood.unit
    np.testing.assert_allclose(ratio, likelihood.scale, rtol=1e-6)


def test_the_scale_is_the_deviation_within_groups(generator):
    ids = generator.permutation(np.arange(400) % 130)  # Of three or four.
    apart = np.array([0.2, 3.0]) * generator.normal(size=(400, 6, 2))
    values = 5 * generator.normal(size=(130, 6, 2))[ids] + apart
    values[generator.random(values.shape) < 0.2] = np.nan
    unit = np.nanstd(values, axis=(0, 1))
    squares, freedom = 0.0, 0
    for group in range(130):
        for column in (values / unit)[ids == group].reshape(-1, 12).T:
            known = column[~np.isnan(column)]
            if len(known) > 1:
                squares += known.var() * len(known)
                freedom += len(known) - 1
    expected = np.sqrt(squares / freedom)
    assert 0.3 < expected < 0.5
    scale = chosen(values, ids)["observation_scale"]
    np.testing.assert_allclose(scale, expected, rtol=0.005)
    # In a unit that is given, it is in that.
    scale = chosen(values / unit, ids, observation_unit=(2.0,))
    np.testing.assert_allclose(
        scale["observation_scale"], expected / 2, rtol=0.005
    )


@pytest.mark.parametrize("size", [2, 5000])
def test_it_is_found_in_many_groups_and_in_few(generator, size):
    """Of large data a part is looked at, with others of its groups."""
    ids = generator.permutation(np.repeat(np.arange(200_000 // size), size))
    content = generator.normal(size=(ids.max() + 1, 3))[ids]
    values = content + 0.1 * generator.normal(size=content.shape)
    true = 0.1 / values.std()
    scale = chosen(values, ids)["observation_scale"]
    np.testing.assert_allclose(scale, true, rtol=0.06)


def test_of_several_levels_it_is_what_is_left_of_all(generator):
    ids = {
        "person": np.arange(600) % 20,
        "light": generator.integers(0, 7, size=600),
    }
    parts = [generator.normal(size=(20, 4)), generator.normal(size=(7, 4))]
    values = parts[0][ids["person"]] + parts[1][ids["light"]]
    values += 0.2 * generator.normal(size=values.shape)
    columns = np.concatenate(
        [np.eye(20)[ids["person"]], np.eye(7)[ids["light"]]], axis=1
    )
    fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    left = (((values - fitted) / values.std(axis=0)) ** 2).sum()
    expected = np.sqrt(left / (4 * (600 - 26)))
    turned = dict(reversed(ids.items()))
    for order in (ids, turned):
        scale = chosen(values, order)["observation_scale"]
        np.testing.assert_allclose(scale, expected, rtol=0.005)


@pytest.mark.parametrize(
    ("ids", "scale"), [(np.arange(60), 1.0), (np.arange(60) // 2, 0.02)]
)
def test_a_scale_that_groups_do_not_tell(generator, ids, scale):
    """No two of a group, and groups of copies."""
    values = generator.normal(size=(60, 3))[ids]
    assert chosen(values, ids)["observation_scale"] == scale


def test_channels_that_never_change_have_the_unit_one_and_no_say(generator):
    values = generator.normal(size=(90, 2)) * [1, 0.1] + [3, 3]
    ids = np.arange(90) % 9
    settings = chosen(values, ids)
    constant = np.full((90, 1), 1e9 / 3)
    unknown = np.full((90, 1), np.nan)
    more = chosen(np.concatenate([constant, values, unknown], axis=1), ids)
    assert more["observation_unit"][1:3] == settings["observation_unit"]
    assert more["observation_unit"][::3] == (1, 1)
    assert more["observation_scale"] == settings["observation_scale"]
    np.testing.assert_allclose(more["observation_center"][0], 1e9 / 3)


def test_what_is_looked_at_is_left_as_it_is(generator):
    values = generator.normal(size=(40, 3))
    values[3, 2] = np.inf
    values.setflags(write=False)
    chosen(values)
    with pytest.raises(InputError, match=r"finite numbers.*inf"):
        mlvae_tf.prepare(values, np.arange(40) % 4, missing_values=True)


@pytest.mark.parametrize(
    ("values", "settings", "words"),
    [
        (np.full((9, 3), np.nan), {}, "no value of the observations is known"),
        (np.full((9, 3), 2j), {}, "must be numbers: got complex128"),
        (np.full((9, 3), "2"), {}, "must be numbers: got <U1"),
        (np.full((9, 3), 1e300), {}, "must be within float32"),
        (np.eye(3), {"observation_unit": (0.0,)}, "positive ones"),
        (np.eye(3), {"observation_unit": (1e-300,)}, "positive ones"),
        (np.eye(3), {"observation_unit": (1.0, 2.0)}, "of which there are 3"),
        (np.eye(3), {"observation_center": (1.0, 2.0)}, "there are 3"),
    ],
)
def test_what_cannot_be_scaled_is_refused(values, settings, words):
    with pytest.raises(InputError, match=words):
        chosen(values, **settings)


@pytest.mark.parametrize(
    ("values", "count"), [(1 << 24, 2000), (1200, 600), (9, 64)]
)
def test_a_sample_is_of_no_more_than_it_says(
    generator, monkeypatch, values, count
):
    monkeypatch.setattr(scaling, "MOST_VALUES", values)
    data = GroupedData.of(
        generator.normal(size=(9000, 2)), np.arange(9000) % 4000
    )
    sample = scaling.Sample.of(data)
    assert 0.9 * count < len(sample.values) <= count
    (group_index,) = sample.group_indices.values()
    assert (np.unique(group_index, return_counts=True)[1] > 1).mean() > 0.9
