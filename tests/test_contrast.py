"""What contents lack to tell their own groups and no others, by loops."""

import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf import contrast, evidence, whole
from mlvae_tf.batches import Part
from mlvae_tf.errors import InputError
from mlvae_tf.steps import Step

ROWS = [0, 1, 0, 2, 0, 1, -1]  # The group 2 is of one; the last row pads.
HEARD = [True, True, False, True, True, True, False]


@pytest.fixture
def proposed(generator):
    loc, scale = generator.normal(size=(2, 7, 3))
    return loc, np.exp(scale)


def prototype(loc, scale, rows):
    weights = 1 / scale[rows] ** 2
    return (weights * loc[rows]).sum(axis=0) / weights.sum(axis=0)


def by_loops(loc, scale, whole_ids):
    result = np.zeros(len(loc))
    heard = [i for i in range(7) if HEARD[i]]
    wholes = [whole_ids[row] if row >= 0 else -1 for row in ROWS]
    for i, group in enumerate(wholes):
        others = [j for j in heard if wholes[j] == group and j != i]
        if group < 0 or not others:
            continue
        own = np.sum((loc[i] - prototype(loc, scale, others)) ** 2) / -2
        scores = [own]
        for other in {*whole_ids} - {group}:
            members = [j for j in heard if wholes[j] == other]
            distance = loc[i] - prototype(loc, scale, members)
            scores.append(np.sum(distance**2) / -2)
        result[i] = np.log(np.sum(np.exp(scores))) - own
    return result


def nats(loc, scale, whole_ids=None, num_groups=4):
    loc, scale = map(tf.convert_to_tensor, (loc, scale))
    rows, heard_rows = tf.constant(ROWS), tf.constant(HEARD)
    parts = evidence.from_normal(loc, scale)
    heard = tf.where(heard_rows, rows, -1)
    total = evidence.accumulate(parts, heard, num_groups)
    if whole_ids is not None:
        whole_ids = tf.constant([*whole_ids, -5, -5, -5, -5])
    return contrast.nats(loc, scale, total, rows, heard_rows, whole_ids)


OWN = [0, 1, 0, 2, 0, 1, -1]
OTHER = [0, 0, 1, 1, 1, 3, -1]  # There is no 2.


def crossed(loc, own_ids=OWN, other_ids=OTHER, num_groups=5):
    loc = tf.convert_to_tensor(loc)
    ids = tf.constant(own_ids), tf.constant(other_ids)
    parts = evidence.from_normal(loc, tf.ones_like(loc))
    sums = [evidence.accumulate(parts, of, num_groups) for of in ids]
    return contrast.crossed(*sums, *ids).numpy()


def test_what_is_told_of_another_level_is_that_of_loops(proposed):
    loc, _ = proposed
    expected = 0.0
    for group in {*OTHER} - {-1}:
        rows = [i for i in range(7) if OTHER[i] == group]
        beyond = [
            loc[i] - np.mean([loc[j] for j in range(7) if OWN[j] == OWN[i]], 0)
            for i in rows
        ]
        expected += len(rows) * np.sum(np.mean(beyond, 0) ** 2) / 2
    assert expected > 0.1
    np.testing.assert_allclose(crossed(loc), expected, 1e-12)


def test_own_groups_tell_of_no_others(proposed, generator):
    """Neither what they are, nor where they are within others."""
    loc, _ = proposed
    moved = loc + generator.normal(size=(4, 3))[OWN]
    np.testing.assert_allclose(crossed(moved), crossed(loc), 1e-10)
    within = [0, 1, 0, 0, 0, 1, -1]  # All of an own group in one of these.
    np.testing.assert_allclose(crossed(loc, other_ids=within), 0, atol=1e-12)


def test_what_depends_on_the_other_level_alone_is_told(generator):
    """In a complete grid, all of it but its mean."""
    own, other = map(np.ravel, np.indices((3, 4)))
    effects = generator.normal(size=(4, 2))
    loc = effects[other] + generator.normal(size=(3, 2))[own]
    expected = 3 * np.sum((effects - effects.mean(0)) ** 2) / 2
    np.testing.assert_allclose(
        crossed(loc, list(own), list(other)), expected, 1e-10
    )


@pytest.mark.parametrize("whole_ids", [(0, 1, 2), (0, 1, 0), (0, 0, 0)])
def test_it_is_that_of_loops(proposed, whole_ids):
    expected = by_loops(*proposed, whole_ids)
    np.testing.assert_allclose(
        nats(*proposed, whole_ids), expected, 1e-10, 1e-14
    )
    # One group alone is told from no other; in a larger one, 2 has company.
    told = {(0, 1, 2): 5, (0, 1, 0): 6, (0, 0, 0): 0}[whole_ids]
    assert np.count_nonzero(np.abs(expected) > 1e-14) == told


def test_groups_are_whole_unless_said(proposed):
    np.testing.assert_array_equal(
        nats(*proposed), nats(*proposed, whole_ids=(0, 1, 2))
    )


def test_more_rows_than_groups_change_nothing(proposed):
    np.testing.assert_allclose(
        nats(*proposed), nats(*proposed, num_groups=7), rtol=1e-12
    )


def test_its_gradient_is_that_of_differences(proposed):
    loc, scale = map(tf.Variable, proposed)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(nats(loc, scale))
    gradients = tape.gradient(value, [loc, scale])
    step = 1e-6
    for number, gradient in enumerate(gradients):
        assert np.all(np.isfinite(gradient))
        for place in np.ndindex(7, 3):
            values = []
            for sign in (1, -1):
                moved = [part.copy() for part in proposed]
                moved[number][place] += sign * step
                values.append(np.sum(nats(*moved)))
            slope = (values[0] - values[1]) / (2 * step)
            np.testing.assert_allclose(gradient[place], slope, atol=1e-6)


def test_groups_far_apart_are_told_apart():
    loc = np.array([[9.0], [-9.0], [9.0], [0.0], [9.0], [-9.0], [0.0]])
    assert np.sum(nats(loc, np.ones((7, 1)))) < 1e-10


def test_averages_have_no_evidence_to_tell_apart(make_model):
    with pytest.raises(InputError, match="evidence that adds up"):
        make_model(content_contrast=1.0, accumulation="average")
    with pytest.raises(InputError, match="from 0"):
        make_model(content_contrast=-1.0)


def test_a_step_adds_it_with_its_weight(make_model, batch):
    def loss(**settings):
        model = make_model(**settings)
        model.compile()
        _, rows = tf.unique(batch["group_ids"])
        part = Part(tf.constant(batch["observations"]), {"content": rows})
        step = Step(model.kl_weights(), tf.constant([3, 4]), [], [])
        value, terms = whole.loss(model.elbo, part, step)
        return value + terms.elbo, model, part

    none, _, _ = loss()
    np.testing.assert_allclose(none, 0, atol=1e-10)
    extra, model, part = loss(content_contrast=7.0)
    content = model.codec.propose(part.observations).latents["content"]
    parts = evidence.from_normal(content.loc, content.scale)
    rows = part.first_ids
    expected = contrast.nats(
        content.loc,
        content.scale,
        evidence.accumulate(parts, rows, 5),
        rows,
        rows >= 0,
    )
    np.testing.assert_allclose(extra, 7 * np.sum(expected) / 5, rtol=1e-9)


def test_what_is_not_known_at_all_is_not_told_apart(make_model, batch):
    """It adds nothing, whatever the encoder makes of it, to its gradient."""
    settings = {"missing_values": True, "content_contrast": 7.0}
    model = make_model(**settings)
    _, rows = tf.unique(batch["group_ids"])
    known = tf.constant(batch["observations"])

    def of(observations, rows):
        part = Part(observations, {"content": rows})
        proposals = model.elbo.propose(part, tf.constant([3, 4]), False)
        totals = model.elbo.sums(part, proposals, 5, training=True)
        return model.elbo.contrasts(part, proposals, totals).numpy()

    expected = of(known, rows)
    nothing = tf.fill([3, 4, 4, 1], tf.constant(np.nan, known.dtype))
    found = of(tf.concat([known, nothing], 0), tf.concat([rows, [0, 1, 4]], 0))
    assert (expected > 0).any()
    np.testing.assert_allclose(found, [*expected, 0, 0, 0], rtol=1e-12)
