"""Several groupings at once: the identities of crossed and nested levels."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import mlvae_tf
from mlvae_tf import Level, batches, control, whole
from mlvae_tf.batches import Batch, Part
from mlvae_tf.chunked import Chunked
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import likelihood
from mlvae_tf.layers import MAX_LOG_SCALE
from mlvae_tf.steps import Step
from tests.linear_gaussian import Level as LinearLevel
from tests.linear_gaussian import LinearGaussian

SEED = tf.constant([3, 4])
CROSSED = {"levels": {"person": 3, "light": 2}}
NESTED = {"levels": [Level("patient", 3), Level("visit", 3, parent="patient")]}
BOTH = {
    "levels": [
        Level("patient", 2),
        Level("visit", 2, parent="patient"),
        Level("hour", 2, parent="visit", evidence_dropout=0.5),
        Level("site", 3, contrast=2.0),
    ]
}
IDS = {
    "person": list("bacabbdeaabd"),
    "light": [0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1],
    "patient": list("aaaaabbbbbcc"),
    "visit": [1, 1, 2, 2, 2, 1, 1, 1, 1, 3, 1, 1],  # Within their patients.
    "hour": [8, 9, 8, 8, 9, 8, 8, 8, 9, 9, 8, 8],
    "site": list("xyxyxyxyxyxx"),
}


def ids_of(model, ids=IDS):
    return {level.name: np.array(ids[level.name]) for level in model.levels}


def segments(model, ids=None):
    tensors = {k: tf.constant(v) for k, v in (ids or ids_of(model)).items()}
    return batches.number(tensors, model.codec.parents)


def part_of(model, batch, ids=None):
    return Part(tf.constant(batch["observations"]), segments(model, ids))


def mean_terms(model, batch, ids=None):
    return whole.mean_terms(model.elbo, part_of(model, batch, ids), SEED)


def copy(target, source, columns=slice(None)):
    """Give a head those columns of another's loc and log-variance."""
    kernel, bias = source.get_weights()
    dim = len(bias) // 2
    both = np.r_[np.arange(dim)[columns], dim + np.arange(dim)[columns]]
    target.set_weights([kernel[:, both], bias[both]])


def without_biases(model):
    """Heads that say something, far from the start's near-priors."""
    generator = np.random.default_rng(7)
    for head in model.codec.heads.values():
        head.bias.assign(generator.normal(size=head.bias.shape))
    return model


def test_one_level_by_name_is_the_plain_model_to_the_bit(make_model, batch):
    losses = []
    for settings in ({"content_dim": 3}, {"levels": {"group": 3}}):
        if "levels" in settings:
            settings = {"levels": {"person": 3}}
        keras.utils.set_random_seed(0)
        model = make_model(
            **settings, evidence_dropout=0.5, content_contrast=2.0
        )
        model.compile()
        ids = {model.levels[0].name: batch["group_ids"]}
        part = part_of(model, batch, ids)
        step = Step(model.kl_weights(), SEED, model.trainable_variables, [])
        loss, _, gradients = whole.loss_and_gradients(model.elbo, part, step)
        losses.append([loss, *gradients])
    for one, other in zip(*losses, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_level_of_single_observations_is_a_style(make_model, batch):
    plain = without_biases(make_model())
    model = make_model(levels={"person": 3, "each": 2}, style_dim=0)
    model.encoder.set_weights(plain.encoder.get_weights())
    model.decoder.set_weights(plain.decoder.get_weights())
    copy(model.person_head, plain.content_head)
    copy(model.each_head, plain.style_head)
    ids = {"person": batch["group_ids"], "each": np.arange(12)}
    found = mean_terms(model, batch, ids).kl
    expected = mean_terms(plain, batch, {"content": batch["group_ids"]}).kl
    assert found["style"] == 0
    np.testing.assert_allclose(found["person"], expected["content"], 1e-12)
    np.testing.assert_allclose(found["each"], expected["style"], 1e-12)
    images = batch["observations"]
    drawn = control.reconstruct(plain, images, batch["group_ids"])
    same = control.reconstruct(model, images, ids)
    np.testing.assert_allclose(same, drawn, rtol=1e-10)


def test_two_levels_of_the_same_groups_are_one_of_both_dimensions(
    make_model, batch
):
    one = without_biases(make_model(content_dim=5))
    two = make_model(levels={"first": 2, "second": 3})
    for name in ("encoder", "decoder", "style_head"):
        getattr(two, name).set_weights(getattr(one, name).get_weights())
    copy(two.first_head, one.content_head, slice(0, 2))
    copy(two.second_head, one.content_head, slice(2, 5))
    ids = {"first": batch["group_ids"], "second": batch["group_ids"]}
    found = mean_terms(two, batch, ids).kl
    expected = mean_terms(one, batch, {"content": batch["group_ids"]}).kl
    total = found["first"] + found["second"]
    np.testing.assert_allclose(total, expected["content"], rtol=1e-12)
    drawn = control.reconstruct(one, batch["observations"], batch["group_ids"])
    same = control.reconstruct(two, batch["observations"], ids)
    np.testing.assert_allclose(same, drawn, rtol=1e-10)


@pytest.mark.parametrize("settings", [CROSSED, NESTED, BOTH], ids=str)
def test_names_and_order_of_groups_change_nothing(
    make_model, batch, settings, generator
):
    model = without_biases(make_model(**settings))
    before = mean_terms(model, batch).kl
    order = generator.permutation(12)
    shuffled = {"observations": batch["observations"][order]}
    ids = {
        name: np.char.add("renamed ", of_level.astype(str))[order]
        for name, of_level in ids_of(model).items()
    }
    after = mean_terms(model, shuffled, ids).kl
    for name, kl in before.items():
        np.testing.assert_allclose(after[name], kl, rtol=1e-10)


@pytest.mark.parametrize("per", ["group", "observation"])
@pytest.mark.parametrize("style", [False, True])
@pytest.mark.parametrize("settings", [CROSSED, NESTED, BOTH], ids=str)
def test_chunks_have_the_gradient_of_the_whole(
    make_model, batch, settings, style, per
):
    model = make_model(
        **settings, style_given_content=style, content_samples=per
    )
    model.compile()
    step = Step(model.kl_weights(), SEED, model.trainable_variables, [])
    part = part_of(model, batch)
    expected = whole.loss_and_gradients(model.elbo, part, step)
    chunks = tf.data.Dataset.from_tensor_slices(batch["observations"]).batch(5)
    chunked = Chunked(model.elbo, compiled=False)
    found = chunked.loss_and_gradients(Batch(chunks, part.segment_ids), step)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)
    for variable, one, other in zip(step.variables, found[2], expected[2]):
        assert np.any(other != 0), variable.path
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10 * scale)


def test_padding_changes_nothing(make_model, batch):
    model = make_model(**BOTH)
    batch = {name: part[:11] for name, part in batch.items()}
    ids = {name: of[:11] for name, of in ids_of(model).items()}
    part = part_of(model, batch, ids)
    padded = batches.pad(part, tf.constant(19))
    before = mean_terms(model, batch, ids)
    after = whole.mean_terms(model.elbo, padded, SEED)
    tf.nest.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-10),
        before,
        after,
    )


def test_levels_are_drawn_apart(make_model, batch):
    """Their noise is independent: as many numbers as there are latents."""
    model = make_model(levels={"person": 2, "light": 2})
    part = part_of(model, batch)
    proposals = model.elbo.propose(part, SEED, training=False)
    totals = model.codec.evidence(
        part.observations, proposals.latents, part.segment_ids, 12
    )
    groups = model.codec.groups(totals, part.segment_ids)
    drawn = model.elbo._of_rows(part, groups, SEED)
    noise = []
    for name, sample in drawn.items():
        posterior = groups.posteriors[name]
        rows = part.segment_ids[name]
        loc, scale = (
            tf.gather(p, rows) for p in (posterior.loc, posterior.scale)
        )
        noise.append(((sample - loc) / scale).numpy()[0])
    assert np.abs(noise[0] - noise[1]).min() > 1e-3


# Against the linear-Gaussian model, in which everything is exact.


def linear(names, parents, generator):
    """A linear model of the package, and the oracle of the same."""
    levels = [Level(name, 2, parent=parents.get(name)) for name in names]
    model = mlvae_tf.MLVAE(
        (6,),
        levels=levels,
        style_dim=1,
        trunk="linear",
        likelihood="normal",
        observation_scale=0.7,
        seed=3,
        dtype="float64",
    )
    for weight in model.weights:
        weight.assign(generator.normal(0, 0.4, weight.shape))
    kernel, center = model.decoder.layers[0].get_weights()
    loadings = np.split(kernel, np.cumsum([2] * len(model.codec.drawn)))
    drawn = [level.name for level in model.codec.drawn]
    oracle = LinearGaussian(
        {
            name: LinearLevel(
                loadings[drawn.index(name)].T
                if name in drawn
                else np.zeros((6, 2)),
                parents.get(name),
                model.codec.spreads[name].precision.numpy()
                if name in parents
                else None,
            )
            for name in names
        },
        loadings[-1].T,
        0.49 * np.eye(6),
        center,
    )
    return model, oracle


def posterior_of(model, oracle, values, ids):
    """Mean and covariance of the model's q, in the oracle's places."""
    proposed, style = model.infer_observations(values)
    places = oracle.latents(ids).places
    size = sum(part.size for part in places.values())
    precision, weighted = np.zeros(size), np.zeros(size)
    for name, q in proposed.items():
        groups = np.unique(ids[name])
        for row, group in enumerate(groups):
            members = ids[name] == group
            own = 1 / q.scale.numpy()[members] ** 2
            where = places[name][row]
            precision[where] = own.sum(axis=0)
            weighted[where] = (own * q.loc.numpy()[members]).sum(axis=0)
    loc, covariance = oracle.from_evidence(ids, precision, weighted)
    # Crossed levels follow the paper: a product without the prior.
    for name in proposed:
        if oracle.levels[name].parent is None:
            where = places[name].ravel()
            covariance[where] = covariance[:, where] = 0
            covariance[where, where] = 1 / precision[where]
            loc[where] = weighted[where] / precision[where]
    where = places["style"].ravel()
    covariance[where] = covariance[:, where] = 0
    covariance[where, where] = style.scale.numpy().ravel() ** 2
    loc[where] = style.loc.numpy().ravel()
    return loc, covariance


CASES = {
    "crossed": (["person", "light"], {}),
    "nested": (["patient", "visit"], {"visit": "patient"}),
    "deep": (
        ["patient", "visit", "hour", "site"],
        {"visit": "patient", "hour": "visit"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_elbo_is_that_of_the_linear_oracle(generator, case):
    """Its KLs exactly; its reconstruction in the mean of many draws."""
    model, oracle = linear(*CASES[case], generator)
    ids = ids_of(model)
    for inner, outer in model.codec.parents.items():  # Unique by themselves.
        ids[inner] = np.char.add(
            np.char.add(ids[outer].astype(str), "/"), ids[inner].astype(str)
        )
    values, _ = oracle.sample(ids, generator)
    part = Part(tf.constant(values), segments(model, ids))
    loc, covariance = posterior_of(model, oracle, values, ids)
    expected = oracle.elbo(values, ids, loc, covariance)
    assert expected <= oracle.log_prob(values, ids)

    @tf.function
    def draw(number):
        terms = whole.mean_terms(model.elbo, part, tf.stack([7, number]))
        return terms.reconstruction, terms.elbo

    draws = np.array([draw(tf.constant(i)) for i in range(400)])
    num_groups = len(np.unique(ids[model.levels[0].name]))
    elbos = draws[:, 1] * num_groups
    error = elbos.std() / np.sqrt(len(elbos))
    assert abs(elbos.mean() - expected) < 4 * error
    # Only the reconstruction is drawn.
    np.testing.assert_allclose(np.ptp(draws[:, 1] - draws[:, 0]), 0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_importance_weights_come_to_the_exact_log_p(generator, case):
    """Within 0.05 nats per observation, of a q that is no prior."""
    model, oracle = linear(*CASES[case], generator)
    kernel = model.decoder.layers[0].kernel
    kernel.assign(kernel / 2)
    oracle = dataclasses.replace(
        oracle,
        style=oracle.style / 2,
        levels={
            name: dataclasses.replace(level, loading=level.loading / 2)
            for name, level in oracle.levels.items()
        },
    )
    for head in model.codec.heads.values():
        head.kernel.assign(0 * head.kernel)
        loc, scale = tf.split(head.bias, 2)
        head.bias.assign(tf.concat([0 * loc + 0.4, 0 * scale + 1.2], 0))
    ids = {name: of[:6] for name, of in ids_of(model).items()}
    for inner, outer in model.codec.parents.items():
        ids[inner] = np.char.add(
            np.char.add(ids[outer].astype(str), "/"), ids[inner].astype(str)
        )
    values, _ = oracle.sample(ids, generator)
    exact = oracle.log_prob(values, ids)
    (one,) = likelihood.importance_weighted_bound(model, values, ids, 1)
    (many,) = likelihood.importance_weighted_bound(model, values, ids, 20_000)
    assert one < many
    assert abs(many - exact) < 0.05 * len(values)


@pytest.mark.parametrize("case", ["nested", "deep"])
def test_posteriors_are_those_of_the_joint_gaussian(generator, case):
    model, oracle = linear(*CASES[case], generator)
    ids = ids_of(model)
    for inner, outer in model.codec.parents.items():
        ids[inner] = np.char.add(
            np.char.add(ids[outer].astype(str), "/"), ids[inner].astype(str)
        )
    values, _ = oracle.sample(ids, generator)
    loc, covariance = posterior_of(model, oracle, values, ids)
    found = model.infer_content(values, ids)
    places, groups = oracle.latents(ids)
    for name, (names, content) in found.items():
        if name == "site":
            continue
        rows = np.searchsorted(groups[name], names)
        where = places[name][rows]
        np.testing.assert_allclose(content.loc, loc[where], rtol=1e-9)
        np.testing.assert_allclose(
            content.variance(), np.diag(covariance)[where], rtol=1e-9
        )


# What users see.


def test_it_trains_infers_and_draws(make_model, batch, tmp_path):
    model = make_model(**CROSSED, style_given_content=True, style_flow=2)
    model.compile(keras.optimizers.Adam(0.01))
    ids = ids_of(model)
    data = {"observations": batch["observations"], "group_ids": ids}
    dataset = tf.data.Dataset.from_tensors(data).repeat(3)
    history = model.fit(dataset, epochs=2, verbose=0).history
    assert {"person_kl", "light_kl", "style_kl"} < set(history)
    model.fit_style_flow(batch["observations"], ids, steps=2)
    found = model.infer_content(batch["observations"], ids)
    people, content = found["person"]
    assert people.tolist() == list("bacde")
    assert content.batch_shape == (5, 3)
    lights, light = found["light"]
    assert lights.tolist() == [0, 1]
    alone = model.infer_style(batch["observations"])
    style = model.infer_style(batch["observations"], ids)
    assert np.abs(alone.loc - style.loc).max() > 0
    chosen = {"person": content.loc[:2], "light": light.loc[:2]}
    drawn = model.decode(chosen, style.loc[:2])
    assert drawn.mean().shape == (2, 4, 4, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.levels == model.levels
    for name, (_, of_level) in loaded.infer_content(
        batch["observations"], ids
    ).items():
        np.testing.assert_array_equal(of_level.loc, found[name][1].loc)
    np.testing.assert_array_equal(
        loaded.infer_style(batch["observations"], ids).loc, style.loc
    )


def test_visits_are_counted_within_their_patients(make_model, batch):
    model = make_model(**NESTED)
    ids = ids_of(model)
    found = model.infer_content(batch["observations"], ids)
    assert found["patient"][0].tolist() == list("abc")
    assert found["visit"][0].tolist() == [1, 2, 1, 3, 1]
    _, visits = found["visit"]
    _, patients = found["patient"]
    assert np.all(patients.scale < 1)  # Surer than the prior.
    assert visits.batch_shape == (5, 3)


def test_the_spread_is_learned_saved_and_may_be_frozen(
    make_model, batch, tmp_path
):
    model = make_model(**NESTED)
    model.compile(keras.optimizers.Adam(0.1))
    data = {"observations": batch["observations"], "group_ids": ids_of(model)}
    dataset = tf.data.Dataset.from_tensors(data).repeat(2)
    model.fit(dataset, verbose=0)
    precision = model.visit_spread.precision.numpy()
    assert np.abs(precision - 1).min() > 1e-3
    model.visit_spread.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.visit_spread.precision, precision)
    assert not loaded.visit_spread.trainable


def test_a_parent_that_is_not_listed_is_made(make_model):
    model = make_model(levels=[Level("visit", 4, parent="patient")])
    assert [level.name for level in model.levels] == ["patient", "visit"]
    assert model.levels[0].dim == 4


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({}, "one at least"),
        ([("a", 3)], "a list of mlvae_tf.Level"),
        ({"style": 3}, "cannot be called 'style'"),
        ([Level("a", 2), Level("a", 3)], "two levels are called 'a'"),
        (
            [Level("a", 2, parent="b"), Level("b", 3)],
            "expected the same number",
        ),
        (
            [Level("a", 2, parent="b"), Level("b", 2, parent="a")],
            "each other's parents",
        ),
        ({"a": 0}, "a_dim must be at least 1"),
    ],
)
def test_levels_that_are_none_are_refused(make_model, levels, words):
    with pytest.raises(InputError, match=words):
        make_model(levels=levels)


def test_ids_must_be_of_the_levels(make_model, batch):
    model = make_model(**CROSSED)
    model.compile()
    images, ids = batch["observations"], ids_of(model)
    for given, words in (
        (ids["person"], "must be by level"),
        ({"person": ids["person"]}, "of the model's levels.*got 'person'"),
        ({**ids, "place": ids["light"]}, "got 'person', 'light', 'place'"),
        ({**ids, "light": ids["light"][:3]}, "one id per observation"),
    ):
        with pytest.raises(InputError, match=words):
            model.infer_content(images, given)
        with pytest.raises(InputError, match=words):
            model.fit({"observations": images, "group_ids": given}, verbose=0)
    with pytest.raises(InputError, match="content must be by level"):
        model.decode(np.zeros((1, 5)), np.zeros((1, 2)))


def test_without_a_style_two_levels_are_needed(make_model, batch):
    with pytest.raises(InputError, match="two levels or more"):
        make_model(style_dim=0)
    with pytest.raises(InputError, match="no style_flow"):
        make_model(**CROSSED, style_dim=0, style_flow=2)
    model = make_model(**CROSSED, style_dim=0, style_given_content=True)
    model.compile()
    data = {"observations": batch["observations"], "group_ids": ids_of(model)}
    model.fit(data, batch_size=12, verbose=0)
    assert model.infer_style(batch["observations"]).loc.shape == (12, 0)


def exact_heads(levels, precision):
    """A linear network that reads the two values, with noise of 0.5."""
    model = mlvae_tf.MLVAE(
        (2,),
        levels=levels,
        style_dim=1,
        trunk="linear",
        likelihood="normal",
        observation_scale=0.5,
        dtype="float64",
    )
    model.encoder.layers[-1].set_weights([np.eye(2, 3), np.zeros(3)])
    (level,) = model.codec.drawn
    kernel = np.eye(3, 4) * [1, 1, 0, 0]
    log_variance = 2 * MAX_LOG_SCALE * np.arctanh(np.log(0.5) / MAX_LOG_SCALE)
    bias = np.array([0, 0, log_variance, log_variance])
    model.codec.heads[level.name].set_weights([kernel, bias])
    for spread in model.codec.spreads.values():
        spread.log_precision.assign(np.log(precision) * np.ones(2))
    return model


def test_a_visit_with_a_thousand_times_the_rest_makes_no_patient_certain():
    """The patient's scale predicts its error; that of a flat level does not."""
    generator = np.random.default_rng(5)
    precision, patients = 4.0, 400
    counts = np.tile([1, 1, 1000], patients)
    visits = np.repeat(np.arange(3 * patients), counts)
    truth = generator.normal(size=(patients, 2))
    around = np.repeat(truth, 3, axis=0)
    of_visits = generator.normal(around, precision**-0.5)
    values = generator.normal(of_visits[visits], 0.5)
    ids = {"patient": visits // 3, "visit": visits}
    errors = {}
    for name, levels in (
        ("nested", [Level("patient", 2), Level("visit", 2, parent="patient")]),
        ("flat", [Level("patient", 2)]),
    ):
        model = exact_heads(levels, precision)
        given = {level.name: ids[level.name] for level in model.levels}
        groups, patient = model.infer_content(values, given)["patient"]
        np.testing.assert_array_equal(groups, np.arange(patients))
        error = (patient.loc - truth) / patient.scale
        errors[name] = float(np.sqrt(np.mean(np.square(error))))
    assert 0.95 < errors["nested"] < 1.05
    assert errors["flat"] > 10
