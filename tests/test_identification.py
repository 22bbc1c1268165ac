"""What is learned of telling groups apart, and from which score on."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import comparing, identification
from mlvae_tf.evaluation.identification import equal_error, learn
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.evidence import Evidence
from mlvae_tf.layers import EvidenceAccumulation

tfd = tfp.distributions


def test_both_errors_are_equal_where_normals_cross(generator):
    # N(2, 1) against N(0, 1): at 1, both errors are Phi(-1) = 0.159.
    genuine = generator.normal(2, 1, 20_000)
    impostor = generator.normal(0, 1, 40_000)
    threshold, rejected, accepted = equal_error(genuine, impostor)
    assert threshold == pytest.approx(1, abs=0.05)
    expected = scipy.stats.norm.cdf(-1)
    assert rejected == pytest.approx(expected, abs=0.01)
    assert accepted == pytest.approx(rejected, abs=1e-3)


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        # Apart: in the middle of the gap.
        ([5.0, 9.0], [1.0, 2.0, 3.0], (4, 0, 0)),
        # One of two is below 2, one of two is not.
        ([1.0, 3.0], [0.0, 2.0], (1.5, 0.5, 0.5)),
        # The wrong way about: all errors, whatever the threshold between.
        ([0.0], [1.0], (0.5, 1, 1)),
        # Nothing to tell apart.
        ([1.0], [1.0], (1, 0, 1)),
    ],
)
def test_equal_error_by_hand(genuine, impostor, expected):
    found = equal_error(np.array(genuine), np.array(impostor))
    assert found == expected


class Model:
    """Whose contents are the observations, of one certainty."""

    levels = (SimpleNamespace(sums=EvidenceAccumulation(), name="content"),)
    codec = SimpleNamespace(likelihood=SimpleNamespace(known=lambda _: None))

    def infer_observations(self, values):
        loc = tf.constant(np.asarray(values, np.float64))
        content = tfd.Normal(loc, tf.ones_like(loc))
        return content, content


def draw(generator, groups, count, within, dim=6, first=0):
    """Groups with centres N(0, 1), and `within` the scale around them."""
    centers = generator.normal(size=(groups, dim))
    ids = np.repeat(np.arange(groups) + first, count)
    loc = centers[ids - first] + within * generator.normal(size=(len(ids), dim))
    return GroupedData.of(loc.astype(np.float32), ids)


def halved(data, generator):
    """Two of the observations of each group, and the others."""
    places = identification._places(data.group_index, generator)
    return data[places >= 2], data[places < 2]


def errors(found, shown, asked):
    """The fractions of genuine answers refused, and of others given."""
    told = Posteriors.of(Model(), shown), Posteriors.of(Model(), asked)
    genuine, impostor = identification._scores(
        found.comparison, *told, shown.groups
    )
    return np.mean(genuine < found.threshold), np.mean(
        impostor >= found.threshold
    )


@pytest.mark.parametrize("is_held_out", [True, False])
@pytest.mark.parametrize(
    ("way", "within"),
    [
        ("discriminants", np.array([0.2, 0.2, 0.2, 0.2, 2.0, 2.0])),
        ("means", 0.3),
    ],
)
def test_the_threshold_holds_for_other_groups(
    generator, monkeypatch, way, within, is_held_out
):
    best = f"content_{way}"
    monkeypatch.setattr(comparing, "best_comparison", lambda *_: best)
    train, held_out = halved(draw(generator, 150, 8, within), generator)
    if not is_held_out:
        train, held_out = GroupedData.join([train, held_out]), None
    found = learn(Model(), train, held_out)
    assert found.comparison.way == way
    assert found.groups == 150
    assert found.observations == 300
    assert found.rejected == pytest.approx(found.accepted, abs=0.01)
    other = halved(draw(generator, 150, 8, within, first=1000), generator)
    rejected, accepted = errors(found, *other)
    assert rejected == pytest.approx(found.rejected, abs=0.08)
    assert accepted == pytest.approx(found.accepted, abs=0.08)


def test_discriminants_give_the_log_ratio_of_what_was_drawn(
    generator, monkeypatch
):
    best = "content_discriminants"
    monkeypatch.setattr(comparing, "best_comparison", lambda *_: best)
    data = draw(generator, 300, 10, np.array([0.5, 1.0]), dim=2)
    posteriors = Posteriors.of(Model(), data)
    comparison, *_ = comparing.learn(posteriors, data.group_index % 2, seed=0)
    # The mean g of 4 observations and another one, q: with centres N(0, 1),
    # they are normal too, and covary by 1 if they are of one group.
    g, q = np.array([[0.3, -1.0]]), np.array([[0.8, 0.1]])
    within = np.array([0.25, 1.0])
    joint = [
        scipy.stats.multivariate_normal(
            [0, 0], [[1 + w / 4, 1], [1, 1 + w]]
        ).logpdf([a, b])
        - scipy.stats.norm.logpdf(a, 0, np.sqrt(1 + w / 4))
        - scipy.stats.norm.logpdf(b, 0, np.sqrt(1 + w))
        for w, a, b in zip(within, g[0], q[0])
    ]
    one = np.ones((1, 2))
    _, score = comparison.nearest(
        Evidence(one, q), Evidence(4 * one, 4 * g), np.array([4])
    )
    # As far as 300 groups tell the variances.
    assert score.item() == pytest.approx(sum(joint), abs=0.15)


def test_what_is_learned_does_not_depend_on_the_names(generator):
    train, held_out = halved(draw(generator, 12, 6, 0.5), generator)
    found = learn(Model(), train, held_out)
    named = [
        GroupedData.of(part.observations, np.char.add("g", ids))
        for part in (train, held_out)
        for ids in [np.char.zfill(part.group_ids.astype(str), 3)]
    ]
    again = learn(Model(), *named)
    assert again.threshold == pytest.approx(found.threshold)
    assert (again.rejected, again.accepted) == (found.rejected, found.accepted)


def test_a_mirrored_group_goes_with_its_original(
    make_model, generator, monkeypatch
):
    """It is no other group to be taken for, nor fits its discriminants."""
    images = generator.uniform(size=(6, 4, 4, 1))
    ids = np.repeat(np.arange(6), 8)
    noisy = images[ids] + generator.uniform(-0.1, 0.1, (48, 4, 4, 1))
    data = GroupedData.of(noisy.clip(0, 1).astype(np.float32), ids)
    learned = []

    def recording(*given):
        learned.append(given)
        return comparing_learn(*given)

    comparing_learn = comparing.learn
    monkeypatch.setattr(comparing, "learn", recording)
    found = learn(make_model(dtype="float32"), data, mirror=True)
    assert found.groups == 6
    assert found.observations == 12
    ((posteriors, halves, _),) = learned
    assert len(np.unique(posteriors.group_ids)) == 12
    assert np.array_equal(halves[:48], halves[48:])
    assert np.bincount(halves).tolist() == [48, 48]


def test_a_few_thousand_observations_do(generator, monkeypatch):
    monkeypatch.setattr(identification, "MAX_GROUPS", 20)
    monkeypatch.setattr(identification, "LEARNED", 100)
    monkeypatch.setattr(identification, "ASKED", 40)
    train, held_out = halved(draw(generator, 50, 20, 0.5), generator)
    sizes = []

    class Counting(Model):
        def infer_observations(self, values):
            sizes.append(len(values))
            return super().infer_observations(values)

    found = learn(Counting(), train, held_out)
    assert sizes == [100, 40]
    assert (found.groups, found.observations) == (20, 40)


def test_held_out_observations_of_other_groups_are_none(generator):
    data = draw(generator, 12, 6, 0.5)
    other = draw(generator, 3, 2, 0.5, first=100)
    found = learn(Model(), data, other)
    assert found.observations == learn(Model(), data).observations == 12


@pytest.mark.parametrize("ids", [np.zeros(6, int), np.arange(6)])
def test_what_cannot_be_tried_is_said(generator, ids):
    data = GroupedData.of(generator.normal(size=(6, 3)), ids)
    with pytest.raises(InputError, match="two groups or more"):
        learn(Model(), data)
