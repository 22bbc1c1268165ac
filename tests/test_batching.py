"""Batches of groups from arrays, as a user calls for them."""

import numpy as np
import pytest

import mlvae_tf


def batches(observations, ids, **settings):
    dataset = mlvae_tf.data.grouped_batches(observations, ids, **settings)
    return [
        {name: part.numpy() for name, part in batch.items()}
        for batch in dataset
    ]


@pytest.fixture
def observations():
    return np.arange(30, dtype=np.uint8)[:, np.newaxis]


def test_a_pass_visits_every_observation_once_in_groups(observations):
    ids = np.array(list("abcde") * 6)
    found = batches(
        observations, ids, groups_per_batch=3, observations_per_group=2
    )
    assert len(found) == 5
    rows = [np.rint(255 * batch["observations"][:, 0]) for batch in found]
    assert sorted(np.concatenate(rows).tolist()) == list(range(30))
    for batch, of_batch in zip(found, rows, strict=True):
        assert batch["observations"].dtype == np.float32
        for group in set(batch["group_ids"].tolist()):
            members = of_batch[batch["group_ids"] == group].astype(int)
            assert len(members) == 2
            assert len(set(ids[members].tolist())) == 1


def test_every_pass_has_an_order_of_its_own_and_the_seed_decides(observations):
    ids = np.arange(30) % 5
    datasets = [
        mlvae_tf.data.grouped_batches(observations, ids, seed=seed)
        for seed in (3, 3, 4)
    ]
    passes = [
        [next(iter(d))["observations"].numpy().tobytes() for _ in range(3)]
        for d in datasets
    ]
    assert passes[0] == passes[1]
    assert len(set(passes[0] + passes[2])) == 6


def test_values_are_those_of_the_likelihood(observations):
    (batch,) = batches(
        observations, np.arange(30) % 5, batch_size=30, likelihood="poisson"
    )
    assert sorted(batch["observations"][:, 0].tolist()) == list(range(30))


def test_fit_takes_them(make_model, batch):
    model = make_model(dtype="float32")
    model.compile(optimizer="adam")
    history = model.fit(mlvae_tf.data.grouped_batches(**batch), epochs=3)
    assert len(set(history.history["loss"])) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_ids": np.arange(3)}, "got 3 ids for 30 observations"),
        ({"group_ids": np.ones(30)}, "astype"),
        ({"groups_per_batch": 0}, "groups_per_batch must be at least 1: got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"observations": np.zeros((0, 3)), "group_ids": np.zeros(0, int)},
         "at least one observation"),
    ],
)  # fmt: skip
def test_bad_input(observations, change, message):
    given = {"observations": observations, "group_ids": np.arange(30)}
    with pytest.raises(ValueError, match=message):
        mlvae_tf.data.grouped_batches(**{**given, **change})
