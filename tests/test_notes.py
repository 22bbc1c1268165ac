"""What is said of how figures are measured."""

import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import notes


def of_sizes(*sizes):
    ids = np.repeat(np.arange(len(sizes)), sizes)
    return GroupedData.of(np.zeros((len(ids), 2), np.float32), ids)


def test_groups_that_are_not_measured():
    assert not notes.of_groups(10, 10, 10)
    (said,) = notes.of_groups(40, 28, 28)
    assert said.startswith("12 of 40 groups have no held-out observation")
    _, said = notes.of_groups(1600, 1500, 250)
    assert "asked of 250 of 1500 groups, chosen at random" in said


def test_counts_that_few_groups_have():
    assert not notes.of_counts(of_sizes(4, 5, 6), (1, 3, None))
    few, none = notes.of_counts(of_sizes(31, 3, 2, 1), (1, 2, 3, 10, None))
    assert "those with k held-out observations or more are 3 at k = 2" in few
    assert "2 at k = 3" in few
    assert "k = 1" not in few
    assert none.startswith("k = 10 is not measured: fewer than two groups")


@pytest.mark.parametrize(("groups", "count"), [(100, 1), (101, 2)])
def test_what_names_the_group(groups, count):
    results = {
        "content_named_by": "prototypes",
        "style_named_by": "draws, network",
        "style_given": dict.fromkeys("abcd"),
    }
    found = notes.of_probes(results, groups)
    assert "content is named by the nearest of the groups' means" in found[0]
    assert "style by an MLP with two hidden layers of 256, of draws" in found[0]
    assert len(found) == count
    if count == 2:
        assert "gradient boosting, whose cost is per group" in found[1]


def test_groups_never_seen():
    (said,) = notes.of_unseen(of_sizes(9))
    assert said.startswith("the only group held out whole is 0")
    assert not notes.of_unseen(of_sizes(6, 6))
    (said,) = notes.of_unseen(of_sizes(6, 4, 2))
    assert said.startswith("identification from 5 shots is not measured")
    (said,) = notes.of_unseen(of_sizes(*[6] * 51))
    assert "among 50 at a time" in said
