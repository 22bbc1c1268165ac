"""Of which groups it is asked which one."""

import numpy as np

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import asked


def of_groups(ids):
    return GroupedData.of(np.zeros((len(ids), 1), np.float32), ids)


def test_all_of_few_groups():
    train, held_out = of_groups(np.arange(60) % 6), of_groups(np.arange(30) % 5)
    chosen = asked.choose(train, held_out, 0)
    assert chosen.rows.tolist() == list(range(30))
    assert chosen.train.groups.tolist() == list(range(5))
    assert len(chosen.train) == len(chosen.some) == 50


def test_some_of_many_groups(monkeypatch):
    monkeypatch.setattr(asked, "MAX_GROUPS", 7)
    train, held_out = (of_groups(np.arange(n) % 50) for n in (400, 100))
    chosen = asked.choose(train, held_out, 0)
    groups = chosen.train.groups
    assert len(groups) == 7
    assert len(chosen.train) == 56
    rows = held_out.group_ids[chosen.rows]
    assert np.array_equal(np.sort(rows), np.repeat(groups, 2))
    again = asked.choose(train, held_out, 1).train.groups
    assert again.tolist() != groups.tolist()


def test_no_group_is_asked_that_the_probe_has_not_seen(monkeypatch):
    monkeypatch.setattr(asked, "MAX_PROBE_OBSERVATIONS", 10)
    ids = np.append(np.zeros(500, int), [1, 2])
    held_out = of_groups(np.array([0, 1, 2, 2]))
    chosen = asked.choose(of_groups(ids), held_out, 0)
    assert len(chosen.some) == 10
    rows = held_out.group_ids[chosen.rows]
    assert set(rows) == set(chosen.some.groups) != {0, 1, 2}


def test_of_groups_that_training_had_not_none_is_asked():
    train, held_out = of_groups(np.arange(60) % 6), of_groups(np.arange(4, 9))
    chosen = asked.choose(train, held_out, 0)
    assert held_out.group_ids[chosen.rows].tolist() == [4, 5]
    chosen = asked.choose(train, of_groups(np.arange(6, 9)), 0)
    assert not len(chosen.rows)
    assert not len(chosen.some.groups)
