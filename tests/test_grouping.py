"""Ids of levels: those that are not known, and those within others."""

import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError


def ids_of(ids, **settings):
    count = len(next(iter(ids.values())))
    data = GroupedData.of(np.arange(float(count)), ids, **settings)
    return {name: of.ids.tolist() for name, of in data.levels.items()}


PEOPLE = np.array(["a", "", "b", "", "a"])
LIGHTS = np.array([-1, 0, 1, -7, 0])


def test_ids_that_are_not_known_are_refused_by_level_and_row():
    said = r"2 of 5 ids of person are not known, which are empty, of rows 1, 3"
    with pytest.raises(InputError, match=said):
        ids_of({"person": PEOPLE, "light": np.arange(5)})
    said = r"2 of 5 ids of light .* negative, of rows 0, 3\..*missing_groups"
    with pytest.raises(InputError, match=said):
        ids_of({"person": np.arange(5), "light": LIGHTS})


def test_each_that_is_not_known_is_a_group_of_its_own():
    found = ids_of({"person": PEOPLE, "light": LIGHTS}, missing="own")
    person, light = found.values()
    assert [person[i] for i in (0, 2, 4)] == ["a", "b", "a"]
    assert len(set(person)) == 4
    assert [light[i] for i in (1, 2, 4)] == [0, 1, 0]
    assert len(set(light)) == 4
    # By what it is, not by where it stands.
    one = GroupedData.of(np.arange(5.0), PEOPLE, missing="own")
    other = GroupedData.of(np.arange(5.0)[::-1], PEOPLE[::-1], missing="own")
    assert one.group_ids.tolist() == other.group_ids.tolist()[::-1]
    np.testing.assert_array_equal(one.keys, other.keys[::-1])


def test_of_one_level_they_are_ids_like_others():
    assert ids_of({"person": PEOPLE})["person"] == PEOPLE.tolist()
    assert ids_of({"light": LIGHTS})["light"] == LIGHTS.tolist()


def test_an_inner_id_counts_within_its_outer_group():
    ids = {
        "hour": np.array([8, 8, 8, 8]),
        "visit": np.array([1, 1, 2, 1]),
        "patient": np.array(list("aabb")),
    }
    parents = {"hour": "visit", "visit": "patient"}
    assert ids_of(ids, parents=parents) == {
        "hour": ["a/1/8", "a/1/8", "b/2/8", "b/1/8"],
        "visit": ["a/1", "a/1", "b/2", "b/1"],
        "patient": list("aabb"),
    }


def test_parents_that_are_none_are_refused():
    ids = {"visit": np.arange(2), "site": np.arange(2)}
    with pytest.raises(InputError, match="name levels, visit, site: got pati"):
        ids_of(ids, parents={"visit": "patient"})
    with pytest.raises(InputError, match="each other's parents"):
        ids_of(ids, parents={"visit": "site", "site": "visit"})


def test_each_level_has_one_id_per_observation():
    with pytest.raises(InputError, match="of light must have one id per obs"):
        ids_of({"person": np.arange(3), "light": np.arange(2)})
    with pytest.raises(InputError, match="a level at least"):
        GroupedData.of(np.arange(2.0), {})
