import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation import judge
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.layers import EvidenceAccumulation


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
    result = judge.measure(
        Mixer(loyal), known, data, posteriors, (1, 5, 100, None), seed=0
    )
    assert result["judge_accuracy"].value > 0.97
    assert list(result["content_group"]) == ["1", "5", "all"]
    for count in ("1", "5", "all"):
        shares = result["content_group"][count], result["style_group"][count]
        assert shares[0 if loyal else 1].value > 0.97
        assert shares[1 if loyal else 0].value < 0.03
        assert shares[0].low <= shares[0].value <= shares[0].high
