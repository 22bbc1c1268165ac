import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlvae_tf.data.design import Cross, Design, Groups, is_inside
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import tables


def index_of(**levels):
    return {name: np.array(ids, np.int32) for name, ids in levels.items()}


# Three people, two lights; the third was seen under one only, twice.
PHOTOS = index_of(person=[0, 0, 1, 1, 2, 2], light=[0, 1, 0, 1, 1, 1])
NAMES = {
    "person": np.array(["ann", "bob", "cid"]),
    "light": np.array(["left", "right"]),
}


def design(parents=None, **levels):
    return Design.of(index_of(**levels), parents=parents)


def test_groups_by_hand():
    found = Groups.of(np.array([0, 0, 0, 1, 3, 3], np.int32))
    assert found == Groups(count=3, least=1, median=2, single=1)


def test_cross_by_hand():
    cross = Cross.of(*PHOTOS.values())
    assert (cross.cells, cross.parts) == (5, 1)
    assert [part.tolist() for part in cross.bound] == [[2], []]


def oracle(left, right):
    """Cells, components by spreading, and who is seen with one only."""
    cells = set(zip(left.tolist(), right.tolist()))
    nodes = {("l", a) for a, _ in cells} | {("r", b) for _, b in cells}
    parts = 0
    while nodes:
        parts += 1
        reached = {nodes.pop()}
        while True:
            more = {
                node
                for a, b in cells
                for node in (("l", a), ("r", b))
                if ("l", a) in reached or ("r", b) in reached
            }
            if more <= reached:
                break
            reached |= more
        nodes -= reached
    bound = [
        [a for a in sorted(set(left.tolist())) if len(right_of(a, cells)) == 1],
        [b for b in sorted(set(right.tolist())) if len(left_of(b, cells)) == 1],
    ]
    return len(cells), parts, bound


def right_of(a, cells):
    return {pair for pair in cells if pair[0] == a}


def left_of(b, cells):
    return {pair for pair in cells if pair[1] == b}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1))
def test_cross_is_that_of_the_oracle(pairs):
    left, right = np.array(pairs, np.int32).T
    cross = Cross.of(left, right)
    cells, parts, bound = oracle(left, right)
    assert (cross.cells, cross.parts) == (cells, parts)
    assert [part.tolist() for part in cross.bound] == bound
    inside = all(len({b for a, b in pairs if a == i}) == 1 for i in set(left))
    assert is_inside(left, right) == inside


def test_tables():
    found = Design.of(PHOTOS, NAMES)
    assert tables.as_text(found.table()).splitlines() == [
        "level   groups  observations: least  median  single",
        "---------------------------------------------------",
        "person       3                    2       2       0",
        "light        2                    2       3       0",
    ]
    assert tables.as_text(found.crossing_table()).splitlines() == [
        "levels          cells seen  of all  connected  in one only",
        "----------------------------------------------------------",
        "person x light           5   83.3%        yes        1 + 0",
    ]


def test_a_person_under_one_light_is_named():
    (doubt,) = Design.of(PHOTOS, NAMES).doubts()
    assert doubt == (
        "1 of 3 groups of person (cid) were seen with one light only: "
        "what is due to which is not known"
    )
    Design.of(PHOTOS, NAMES).check()


def test_a_complete_cross_leaves_no_doubt():
    found = design(a=[0, 0, 1, 1], b=[0, 1, 0, 1])
    assert found.doubts() == []
    found.check()


def test_many_are_named_by_some():
    people = np.repeat(np.arange(10), 2)
    (doubt,) = design(
        person=[*people, 0, 1, 2, 3], light=[*(people % 2), 1, 0, 1, 0]
    ).doubts()
    assert doubt.startswith("6 of 10 groups of person (4, 5, 6, ...) were seen")


def test_parts_that_share_no_group():
    found = design(a=[0, 0, 1, 1, 2, 2, 3, 3], b=[0, 1, 0, 1, 2, 3, 2, 3])
    (doubt,) = found.doubts()
    assert doubt.startswith("a and b fall into 2 parts that share no group")
    assert found.crossing_table()[1][3] == "2 parts"


VISITS = {
    "patient": [0, 0, 0, 0, 1, 1, 1, 1],
    "visit": [0, 0, 1, 1, 2, 2, 3, 3],
}


def test_nested_levels():
    found = design(**VISITS)
    assert found.inside() == [("visit", "patient")]
    (doubt,) = found.doubts()
    assert 'declare visit with parent="patient"' in doubt
    row = ["visit in patient", "4", "50.0%", "nested", ""]
    assert found.crossing_table()[1] == row
    found.check()
    declared = design({"visit": "patient"}, **VISITS)
    assert declared.doubts() == []
    declared.check()


@pytest.mark.parametrize("order", [1, -1])
def test_a_parent_that_is_none(order):
    levels = {**VISITS, "visit": [0, 0, 1, 1, 2, 2, 1, 1]}
    levels = dict(list(levels.items())[::order])
    with pytest.raises(InputError, match="within one patient, its parent: 1"):
        design({"visit": "patient"}, **levels).check()


def test_the_same_groups_twice():
    found = design(a=[0, 0, 1, 1], b=[1, 1, 0, 0])
    assert found.crossing_table()[1][0] == "a = b"
    with pytest.raises(InputError, match="a and b have the same groups"):
        found.check()


def test_a_level_of_one_group():
    found = Design.of(
        index_of(person=[0, 0, 1, 1], light=[0, 0, 0, 0]),
        {"person": np.array(["ann", "bob"]), "light": np.array(["left"])},
    )
    assert found.doubts() == []
    with pytest.raises(
        InputError, match=r"light must have two .* got one, left"
    ):
        found.check()


def test_a_level_of_single_observations():
    found = design(a=[0, 0, 1, 1], b=[0, 1, 2, 3])
    assert found.doubts()[0].startswith("4 of 4 groups of b have a single")
    with pytest.raises(InputError, match="b must share observations: got 4"):
        found.check()
