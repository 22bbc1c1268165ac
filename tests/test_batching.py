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


def test_several_levels_share_observations_within_a_batch(generator):
    people, lights = np.divmod(generator.permutation(400), 20)
    values = np.arange(400, dtype=np.float32)[:, np.newaxis]
    ids = {"person": people, "light": lights.astype(str)}
    settings = {"groups_per_batch": 8, "observations_per_group": 4}
    dataset = mlvae_tf.data.grouped_batches(values, ids, **settings)
    found, sharing = [], []
    for batch in dataset:
        assert set(batch) == {"observations", "group_ids"}
        rows = batch["observations"].numpy()[:, 0].astype(int)
        found += rows.tolist()
        for name, of_level in batch["group_ids"].items():
            same = of_level.numpy()[:, np.newaxis] == of_level.numpy()
            true = ids[name][rows][:, np.newaxis] == ids[name][rows]
            np.testing.assert_array_equal(same, true)
            sharing.append(len(rows) / len(set(of_level.numpy().tolist())))
    assert sorted(found) == list(range(400))
    # Shuffled, a batch of 32 would have 1.9 of a person.
    assert np.mean(sharing) > 3.5


def test_fit_takes_several_levels(make_model, batch):
    model = make_model(levels={"person": 2, "light": 3}, dtype="float32")
    model.compile(optimizer="adam")
    ids = {"person": batch["group_ids"], "light": np.arange(12) % 2}
    dataset = mlvae_tf.data.grouped_batches(
        batch["observations"].astype(np.float32), ids
    )
    history = model.fit(dataset, epochs=2, verbose=0).history
    assert {"person_kl", "light_kl"} <= set(history)
    assert np.isfinite(history["loss"]).all()


def test_an_unknown_id_is_refused_or_a_group_of_its_own(observations):
    ids = {"person": np.arange(30) % 5, "light": np.array(["", "a", "b"] * 10)}
    with pytest.raises(ValueError, match="10 of 30 ids of light are not known"):
        mlvae_tf.data.grouped_batches(observations, ids)
    (batch,) = batches_of_levels(observations, ids)
    lights = batch["group_ids"]["light"].numpy()
    assert np.sort(np.unique(lights, return_counts=True)[1]).tolist() == [
        *[1] * 10,
        *[10] * 2,
    ]
    with pytest.raises(ValueError, match="must be 'refuse' or 'own'"):
        mlvae_tf.data.grouped_batches(observations, ids, missing_groups="x")


def batches_of_levels(observations, ids):
    return list(
        mlvae_tf.data.grouped_batches(
            observations, ids, batch_size=30, missing_groups="own"
        )
    )
