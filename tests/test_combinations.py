"""Combinations of groups never seen, and what is guessed of them."""

import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.data.splits import split
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import combinations, completed
from mlvae_tf.evaluation.guesses import Additive, Table

PEOPLE, LIGHTS = 12, 7


def crossed(generator, noise=0.0, copies=1):
    """People under lights, which add up."""
    people, lights = np.divmod(np.arange(PEOPLE * LIGHTS), LIGHTS)
    people, lights = np.repeat(people, copies), np.repeat(lights, copies)
    one = generator.normal(size=(PEOPLE, 4, 4, 1))
    other = generator.normal(size=(LIGHTS, 4, 4, 1))
    values = one[people] + other[lights]
    values += noise * generator.normal(size=values.shape)
    ids = {"person": people, "light": lights}
    return GroupedData.of(values.astype(np.float32), ids)


def index_of(data):
    return {name: of.group_index for name, of in data.levels.items()}


def test_an_additive_table_is_found_from_some_of_its_cells(generator):
    data = crossed(generator)
    some = generator.random(len(data)) < 0.6
    flat = data.observations.reshape(len(data), -1)
    train = data[some]
    assert len(train.groups) == PEOPLE
    found = Additive.of(
        flat[some], index_of(train), {"person": PEOPLE, "light": LIGHTS}
    )
    rest = index_of(data)
    np.testing.assert_allclose(found.sum(rest), flat, atol=2e-3)
    assert found(rest).max() <= flat[some].max()
    holes = np.where(generator.random(flat.shape) < 0.2, np.nan, flat)
    found = Additive.of(
        holes[some], index_of(train), {"person": PEOPLE, "light": LIGHTS}
    )
    assert np.sqrt(np.mean((found.sum(rest) - flat) ** 2)) < 0.2


def test_distances_are_those_of_what_both_have(generator):
    rows, columns = np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5)
    values = generator.normal(size=(15, 2)).astype(np.float32)
    some = np.array([1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0], bool)
    table = Table.of(values[some], rows[some], columns[some], (5, 3))
    np.testing.assert_array_equal(table.seen, some.reshape(5, 3))
    found = table.distances(table)
    for one in range(5):
        for two in range(5):
            both = table.seen[one] & table.seen[two]
            squares = (table.values[one] - table.values[two])[both] ** 2
            expected = squares.sum(axis=1).mean() if both.any() else np.inf
            assert found[one, two] == pytest.approx(expected, abs=1e-5)
    # Of those that know column 2, the nearest to the first row.
    distances = found[:1].copy()
    distances[:, 0] = np.inf
    near = table.nearest(distances, np.array([2]), np.full((1, 2), 9.0))
    knowing = np.flatnonzero(table.seen[:, 2] & np.isfinite(distances[0]))
    np.testing.assert_allclose(
        near[0], table.values[knowing, 2].mean(axis=0), rtol=1e-6
    )
    nobody = np.full((1, 5), np.inf)
    near = table.nearest(nobody, np.array([2]), np.full((1, 2), 9.0))
    np.testing.assert_array_equal(near, [[9, 9]])


@pytest.fixture
def model(make_model):
    return make_model(
        levels={"person": 3, "light": 2},
        dtype="float32",
        likelihood="normal",
        observation_scale=1.0,
    )


def test_what_is_held_out_is_measured_against_the_truth(generator, model):
    data = crossed(generator, noise=0.01)
    splits = split(Source(data), holdout_groups=0.25, holdout_cells=0.3)
    found, learned = combinations.measure(model, splits, seed=0)
    errors = {name: one.value for name, one in found["held_out"].items()}
    assert errors["additive"] < 0.2 < errors["mean of the light"]
    assert errors["nearest by person"] < 3
    rows = combinations.never_seen(learned, splits.train, splits.validation)
    assert len(rows) == len(splits.validation) > 10
    asked = splits.validation[rows]
    contents = model.infer_content(
        splits.train.values(),
        {name: of.ids for name, of in splits.train.levels.items()},
    )
    of_rows = {
        name: q.loc.numpy()[
            [groups.tolist().index(i) for i in asked.levels[name].ids]
        ]
        for name, (groups, q) in contents.items()
    }
    drawn = model.decode(of_rows, np.zeros((len(rows), 2), np.float32)).mean()
    truth = np.sqrt(np.mean((drawn.numpy() - asked.values()) ** 2))
    assert errors["decoded"] == pytest.approx(truth, rel=1e-4)
    for shots in ("1", "3"):
        assert found["unseen"][shots]["additive"].value < 0.2
        low, high = found["unseen"][shots]["decoded"][1:]
        assert 0.5 < low <= high


def test_what_is_shown_of_a_group_is_not_asked(generator, model):
    data = crossed(generator, copies=2)
    splits = split(Source(data), holdout_groups=0.25, holdout_cells=0.2)
    _, learned = combinations.measure(model, splits, seed=0)
    chosen = combinations.show(learned, splits.unseen, 3, seed=0)
    lights = splits.unseen.levels["light"].ids
    for unit, rows in enumerate(chosen.shown):
        asked = chosen.asked[chosen.unit == unit]
        assert not set(lights[rows]) & set(lights[asked])
        everyone = splits.unseen.group_ids[np.append(rows, asked)]
        assert len(set(everyone.tolist())) == 1
    assert combinations.show(learned, splits.unseen, 14, seed=0) is None


def test_one_level_has_no_combinations(generator, make_model):
    model = make_model(dtype="float32")
    values = generator.uniform(size=(20, 4, 4, 1)).astype(np.float32)
    data = GroupedData.of(values, np.arange(20) % 4)
    splits = split(Source(data))
    assert combinations.measure(model, splits, seed=0) == ({}, None)


def test_every_group_keeps_a_combination(generator):
    data = crossed(generator, copies=2)
    for seed in range(3):
        splits = split(Source(data), holdout_cells=0.9, seed=seed)
        assert len(splits.train.groups) == PEOPLE
        assert len(splits.train.levels["light"].groups) == LIGHTS
        cells = [
            set(zip(*(of.ids.tolist() for of in part.levels.values())))
            for part in (splits.train, splits.validation)
        ]
        assert not cells[0] & cells[1]
        assert len(cells[0]) + len(cells[1]) == PEOPLE * LIGHTS
    some = split(Source(data), holdout_cells=0.25)
    assert len(some.validation) == 2 * round(0.25 * PEOPLE * LIGHTS)


def test_cells_that_cannot_be_held_out(generator):
    data = crossed(generator)
    one = GroupedData.of(data.observations, data.group_ids)
    with pytest.raises(InputError, match="for several levels: name them"):
        split(Source(one), holdout_cells=0.2)
    diagonal = GroupedData.of(
        data.observations, {"a": np.arange(84), "b": np.arange(84)}
    )
    with pytest.raises(InputError, match="of 84 combinations of a, b holds"):
        split(Source(diagonal), holdout_cells=0.2)
    with pytest.raises(InputError, match="must be a fraction in"):
        split(Source(data), holdout_cells=1.5)


def test_pictures_show_what_was_made_beside_the_truth(
    generator, model, monkeypatch
):
    drawn = []

    def grid(cells, top, left, names, labels, framed):
        drawn.append((cells, names, labels, framed))
        return b"png"

    monkeypatch.setattr(completed, "grid", grid)
    data = crossed(generator)
    splits = split(Source(data), holdout_groups=0.25, holdout_cells=0.3)
    _, learned = combinations.measure(model, splits, seed=0)
    assert set(completed.grids(learned, splits, 0)) == {
        "completed",
        "unseen_completed",
    }
    cells, names, labels, framed = drawn[0]
    assert labels == ("light", "person")
    assert names[1][1::2] == ["truth"] * 5
    values = {
        (str(person), str(light)): value
        for person, light, value in zip(
            *(of.ids for of in data.levels.values()), data.values()
        )
    }
    assert not framed[::2].all()
    for row in range(0, 10, 2):
        for column in range(LIGHTS):
            truth = values[names[1][row], names[0][column]]
            np.testing.assert_allclose(cells[row + 1, column], truth, rtol=1e-5)
            same = np.allclose(cells[row, column], truth, rtol=1e-5)
            assert same == framed[row, column]
    cells, names, _, framed = drawn[1]
    assert framed[::2, :5].all()
    assert not framed[::2, 5:].any()
    for row in range(0, len(cells), 2):
        for column in range(5):
            true = [
                np.allclose(cells[row, column], value)
                for (person, _), value in values.items()
                if person == names[1][row]
            ]
            assert any(true)
