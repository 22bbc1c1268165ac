import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import judge, judged
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.layers import EvidenceAccumulation
from mlvae_tf.levels import Level


def stripes(generator, shape, size):
    """Groups differ in which of three places is bright."""
    ids = np.repeat(["a", "b", "c"], size)
    observations = generator.uniform(0, 0.3, size=(3 * size, *shape))
    for index, group in enumerate("abc"):
        observations[ids == group, 2 * index : 2 * index + 2] += 0.6
    return GroupedData.of(observations.astype(np.float32), ids)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 80, 3), (12,)])
def test_a_judge_names_real_observations(generator, shape, monkeypatch):
    monkeypatch.setattr(judge, "MIN_STEPS", 60)
    known = judge.Judge(stripes(generator, shape, 60), seed=0)
    new = stripes(generator, shape, 40)
    right = known.names(new.observations) == new.group_ids
    assert right.mean() > 0.97


def test_a_judge_does_not_ask_for_detail(generator):
    """What is drawn has the shape of its group, and not its grain."""
    ids, rows = np.repeat([0, 1, 2], 60), np.arange(64)
    grain = (-1.0) ** (rows[:, np.newaxis] * (ids % 3 == 1)[:, None, None])
    grain = grain * (-1.0) ** (rows * (ids % 3 == 2)[:, None, None] + rows)
    bright = np.abs(rows[:, np.newaxis] - 16 * (1 + ids)[:, None, None]) < 8
    drawn = 0.4 + 0.07 * bright + np.zeros((180, 64, 64))
    drawn += generator.normal(scale=0.1, size=(180, 1, 1))
    real = np.float32(drawn + 0.3 * grain)[..., np.newaxis]
    known = judge.Judge(GroupedData.of(real, ids), seed=0)
    named = known.names(np.float32(drawn)[..., np.newaxis])
    assert np.mean(named == ids) > 0.97


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (9, 500, 3)])
def test_a_larger_image_hardly_costs_more(shape):
    convolved = judge._network(shape, 3, 300, seed=0).layers[-6]
    assert max(convolved.output.shape[1:3]) <= 16
    assert convolved.kernel.shape[:2] == (3, 3)


@pytest.mark.parametrize("shape", [(8, 8, 1), (12,)])
def test_a_judge_reads_what_is_known(generator, shape, monkeypatch):
    monkeypatch.setattr(judge, "MIN_STEPS", 60)
    seen, new = stripes(generator, shape, 60), stripes(generator, shape, 40)
    for data in (seen, new):
        unknown = generator.uniform(size=data.observations.shape) < 0.1
        data.observations[unknown] = np.nan
    known = judge.Judge(seen, seed=0)
    right = known.names(new.values()) == new.group_ids
    assert right.mean() > 0.9


class Mixer:
    """Stands for a model that decodes the content alone, or the style."""

    levels = (Level("content", 12),)

    def __init__(self, loyal):
        self.loyal = loyal

    def decode(self, content, style):
        class Means:
            def mean(_):
                return content if self.loyal else style

        return Means()


@pytest.mark.parametrize("loyal", [True, False])
def test_the_judge_sees_who_donated(generator, loyal):
    data = stripes(generator, (12,), 40)
    known = judge.Judge(data, seed=0)
    latent = tf.constant(data.observations)
    normal = tfp.distributions.Normal(latent, tf.ones_like(latent))
    posteriors = Posteriors(
        normal, normal, data.group_ids, EvidenceAccumulation()
    )
    result = judged.measure(
        Mixer(loyal),
        {"content": known},
        data,
        posteriors,
        (1, 5, 100, None),
        seed=0,
    )
    assert result["judge_accuracy"].value > 0.97
    assert list(result["content_group"]) == ["1", "5", "all"]
    for count in ("1", "5", "all"):
        shares = result["content_group"][count], result["style_group"][count]
        assert shares[0 if loyal else 1].value > 0.97
        assert shares[1 if loyal else 0].value < 0.03
        assert shares[0].low <= shares[0].value <= shares[0].high


@pytest.mark.parametrize("person_draws_light", [0.0, 1.0])
def test_swaps_of_a_level_keep_the_others(
    exact_model, generator, person_draws_light
):
    people, lights = np.divmod(np.arange(600) // 10, 6)
    values = generator.normal(scale=0.05, size=(600, 4))
    values += np.stack([people, lights, 0 * people, 0 * people], axis=1)
    ids = {"person": people, "light": lights}
    data = GroupedData.of(values.astype(np.float32), ids)
    # A light that the judge has not learned is not asked about.
    train = data[np.flatnonzero((np.arange(600) % 2 == 0) & (lights < 5))]
    splits = Splits(train, data[np.arange(1, 600, 2)], None, None)
    model = exact_model(person_draws_light)
    found = judged.of_levels(model, splits, (1, None), seed=0)
    assert found.keys() == {"person", "light"}
    for of in found.values():
        assert of["judge_accuracy"].value > 0.97
        assert list(of["content_group"]) == ["1", "all"]
    person, light = found["person"], found["light"]
    assert light["kept"].keys() == {"person"}
    if person_draws_light:
        assert person["kept"]["light"].value < 0.4
        return
    assert person["kept"]["light"].value > 0.97
    assert light["kept"]["person"].value > 0.97
    for of in found.values():
        for count in ("1", "all"):
            assert of["content_group"][count].value > 0.97
            assert of["style_group"][count].value < 0.03
