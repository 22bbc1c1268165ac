"""The signs of a training, against what was put into the data."""

import numpy as np
import pytest

import mlvae_tf
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import signs
from mlvae_tf.evaluation.signs import Sample
from tests import reference


def test_a_probe_names_what_differs(generator):
    ids = np.arange(300) % 5

    def some(shift):
        return generator.normal(size=(300, 4)) + shift * ids[:, None], ids

    accuracy, chance = signs.probe(some(9), some(9))
    assert accuracy > 0.95
    assert chance == pytest.approx(0.2)
    assert signs.probe(some(0), some(0))[0] < 0.3
    nobody = np.zeros((2, 4)), np.array([8, 9])
    assert signs.probe(some(1), nobody) is None
    same = np.zeros((300, 4)), ids
    assert signs.probe(same, same) is None


def splits_of(images, ids):
    data = GroupedData.of(images, ids)
    rows = np.arange(len(ids)) % 5 < 4
    return Splits(data[rows], data[~rows], None, None)


def test_a_sample_is_of_few_groups_and_the_same_ones(generator):
    images = generator.uniform(size=(1000, 2)).astype(np.float32)
    splits = splits_of(images, np.arange(1000) // 10)
    train, held_out = Sample.of(splits, 300, 0)
    assert len(train) == 300
    assert len(train.groups) == len(held_out.groups) == signs.MAX_GROUPS
    assert set(train.groups) == set(held_out.groups)
    assert len(held_out) == 2 * signs.MAX_GROUPS
    again, _ = Sample.of(splits, 300, 0)
    np.testing.assert_array_equal(again.keys, train.keys)
    all_of_it, _ = Sample.of(splits_of(images, np.arange(1000) % 7), 9999, 0)
    assert len(all_of_it) == 800


@pytest.fixture
def linear(generator):
    """Linear networks that draw content 0 and style 0 into two values."""
    model = mlvae_tf.MLVAE(
        (2,), 1, 1, trunk="linear", likelihood="normal", observation_scale=1.0
    )
    model.encoder.layers[-1].set_weights([np.eye(2), np.zeros(2)])
    scale = np.log(np.expm1(0.5))  # Softplus of it is 0.5.
    for number, name in enumerate(("content", "style")):
        head = model.codec.heads[name]
        kernel = np.zeros((2, 2))
        kernel[number, 0] = 1
        head.set_weights([kernel, np.array([0, scale])])
    model.decoder.layers[0].set_weights([np.diag([1.0, 0.5]), np.zeros(2)])
    return model


def test_the_signs_of_a_model_that_is_known(linear, generator):
    ids = np.arange(200) % 4
    values = np.stack([3.0 * ids, generator.normal(size=200)], axis=1)
    splits = splits_of(values.astype(np.float32), ids)
    sample = Sample.of(splits, 999, 0)
    seen = signs.look(linear, sample)
    style = linear.infer_style(sample.train.values())
    expected = reference.standard_normal_kl(
        style.loc.numpy().astype(float), style.scale.numpy().astype(float)
    )
    found = seen.kl["style"].sum()
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-5)
    assert seen.active == {"content": 1, "style": 1}
    spread = np.var(style.loc)
    share = spread / (spread + np.mean(np.square(style.scale)))
    np.testing.assert_allclose(seen.mean_share["style"], share, rtol=1e-4)
    assert seen.accuracy["content"]["content"] == 1
    assert seen.accuracy["content"]["style"] < 0.5
    assert seen.chance["content"] == pytest.approx(0.25)
    train = sample.train.values().astype(float)
    spread = train - train.mean(axis=0)
    left = np.mean(np.square(train[:, 1] * 0.5)) / 2
    explained = 1 - left / np.mean(spread**2)
    assert seen.explained == pytest.approx(explained, rel=1e-4)
    # Content draws the first value, by 6 from the group after the next.
    share = 36 / 2 / np.mean(spread**2)
    assert seen.drawn["content"] == pytest.approx(share, rel=1e-4)


def test_a_latent_that_is_not_drawn_is_seen(linear, generator):
    values = generator.normal(size=(100, 2)).astype(np.float32)
    linear.decoder.layers[0].set_weights([np.diag([1.0, 0.0]), np.zeros(2)])
    seen = signs.look(
        linear, Sample.of(splits_of(values, np.arange(100) % 4), 99, 0)
    )
    assert seen.drawn["style"] == 0
    assert seen.drawn["content"] > 0.1


def test_of_several_levels_each_latent_is_seen(make_model, generator):
    """Of levels whose contents are the ids of both, or of the other one."""
    people, lights = np.divmod(np.arange(240) // 4, 6)
    values = np.stack([people, lights, *generator.normal(size=(2, 240))], 1)
    ids = {"person": people, "light": lights}
    data = GroupedData.of(values.astype(np.float32), ids)
    rows = np.arange(240) % 4 < 3
    model = mlvae_tf.MLVAE(
        (4,),
        levels={"person": 1, "light": 2},
        style_dim=1,
        trunk="linear",
        likelihood="normal",
        observation_scale=1.0,
    )
    model.encoder.layers[-1].set_weights([np.eye(4), np.zeros(4)])
    for name, reads in (("person", [0]), ("light", [0, 1]), ("style", [2])):
        kernel = np.zeros((4, 2 * len(reads)))
        kernel[reads, range(len(reads))] = 1
        bias = np.repeat([0.0, -4.0], len(reads))
        model.codec.heads[name].set_weights([kernel, bias])
    splits = Splits(data[rows], data[~rows], None, None)
    seen = signs.look(model, Sample.of(splits, 999, 0))
    assert set(seen.kl) == set(seen.drawn) == {"person", "light", "style"}
    assert seen.kl["light"].shape == (2,)
    assert seen.active == {"person": 1, "light": 2, "style": 1}
    assert seen.accuracy["person"]["person"] == 1
    assert seen.accuracy["person"]["light"] == 1
    assert seen.accuracy["light"]["light"] == 1
    assert seen.accuracy["light"]["person"] < 0.4
    assert seen.accuracy["light"]["style"] < 0.4
    assert seen.chance["light"] == pytest.approx(1 / 6)
    assert seen.chance["person"] == pytest.approx(1 / 10)
