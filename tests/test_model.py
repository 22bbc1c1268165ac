import math

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.decomposition import PCA

import mlvae_tf
from mlvae_tf import (
    batches,
    evidence,
    lessons,
    noise,
    objective,
    whole,
)
from mlvae_tf.batches import Part
from mlvae_tf.steps import Step
from mlvae_tf.style_flow import Pairs

SEED = tf.constant([3, 4])


def expected_elbo(model, observations, rows):
    """The one-sample ELBO in NumPy, from the weights and the noise."""
    count = len(rows)
    seeds = noise.split(SEED)
    content_noise, style_noise = (
        noise.normal(seed, count, dim, dtype="float64").numpy()
        for dim, seed in zip((model.content_dim, model.style_dim), seeds)
    )
    first, second, last = (
        layer.get_weights()
        for layer in (model.encoder.layers[1], *model.decoder.layers[:2])
    )
    features = np.tanh(reference.dense(observations.reshape(count, -1), *first))
    loc, scale = reference.normal_head(
        features, *head(model, "content").get_weights()
    )
    style_loc, style_scale = reference.normal_head(
        features, *head(model, "style").get_weights()
    )
    groups, content_loc, content_scale = reference.accumulate(loc, scale, rows)
    row = np.array([groups.index(r) for r in rows])
    if model.content_samples == "group":
        samples = content_loc + content_scale * content_noise[: len(groups)]
        content = samples[row]
    else:
        content = content_loc[row] + content_scale[row] * content_noise
    latents = np.hstack([content, style_loc + style_scale * style_noise])
    hidden = np.tanh(reference.dense(latents, *second))
    logits = reference.dense(hidden, *last).reshape(observations.shape)
    return reference.average_group_elbo(
        reference.bernoulli_log_prob(logits, observations),
        reference.standard_normal_kl(style_loc, style_scale),
        dict(
            zip(
                groups, reference.standard_normal_kl(content_loc, content_scale)
            )
        ),
        rows,
    )


def rows_of(batch):
    return tf.unique(batch["group_ids"])[1]


def part_of(observations, rows):
    return Part(tf.constant(observations), {"content": rows})


def group_terms(model, observations, rows):
    return whole.group_terms(model.elbo, part_of(observations, rows), SEED)


def mean_terms(model, batch):
    part = part_of(batch["observations"], rows_of(batch))
    return whole.mean_terms(model.elbo, part, SEED)


def training_loss(model, observations, rows):
    """The loss of a training step, and its terms."""
    weights = {"content": 1.0, "style": 1.0}
    step = Step(weights, SEED, [], [])
    return whole.loss(model.elbo, part_of(observations, rows), step)


def flow_loss(model, observations, rows):
    value, terms = training_loss(model, observations, rows)
    return value + terms.elbo


def head(model, level):
    return model.codec.heads[level]


@pytest.mark.parametrize("content_samples", ["group", "observation"])
def test_elbo_matches_the_oracle(make_model, batch, content_samples):
    model = make_model(content_samples=content_samples)
    mean = mean_terms(model, batch)
    rows = rows_of(batch).numpy()
    expected = expected_elbo(model, batch["observations"], rows)
    np.testing.assert_allclose(mean.elbo, expected, rtol=1e-10)
    terms = group_terms(model, batch["observations"], rows_of(batch))
    assert np.count_nonzero(terms.elbo) == 5
    np.testing.assert_allclose(np.sum(terms.elbo) / 5, expected, rtol=1e-10)


@pytest.mark.parametrize("content_samples", ["group", "observation"])
def test_gradients_match_finite_differences(make_model, batch, content_samples):
    model = make_model(content_samples=content_samples)

    def loss():
        rows = rows_of(batch)
        return training_loss(model, batch["observations"], rows)[0]

    with tf.GradientTape() as tape:
        value = loss()
    variables = [head(model, "content").kernel, model.encoder.weights[0]]
    for variable, gradient in zip(variables, tape.gradient(value, variables)):
        for index in [(0, 0), (3, 2), (7, 5)]:
            start = variable.numpy()
            ends = []
            for step in (1e-6, -1e-6):
                moved = start.copy()
                moved[index] += step
                variable.assign(moved)
                ends.append(loss().numpy())
            variable.assign(start)
            slope = (ends[0] - ends[1]) / 2e-6
            assert abs(slope) > 1e-4
            np.testing.assert_allclose(gradient[index], slope, rtol=1e-5)


def test_every_variable_has_a_gradient(make_model, batch):
    model = make_model(likelihood="normal_learned_scale")
    with tf.GradientTape() as tape:
        rows = rows_of(batch)
        loss, _ = training_loss(model, batch["observations"], rows)
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert np.all(np.isfinite(gradient))
        assert np.any(gradient != 0)


@pytest.mark.parametrize("rule", ["product_with_prior", "average"])
def test_the_rule_reaches_training_and_inference(make_model, batch, rule):
    model = make_model(accumulation=rule, dtype="float64")
    proposed, _ = model.encode(batch["observations"])
    ids = batch["group_ids"]
    sums = model.levels[0].sums
    expected = sums(proposed.loc, proposed.scale, ids)
    assert sums.rule == rule
    _, content = model.infer_content(batch["observations"], ids)
    np.testing.assert_allclose(content.scale, expected.scale, rtol=1e-10)
    terms = group_terms(model, batch["observations"], rows_of(batch))
    kl = objective.standard_normal_kl(expected.loc, expected.scale)
    np.testing.assert_allclose(terms.kl["content"][:5], kl, rtol=1e-10)


def test_evidence_dropout_hears_a_part_of_the_group_in_training(
    make_model, batch
):
    model = make_model(evidence_dropout=1.0)
    rows = rows_of(batch)
    heard = evidence.drop(rows, 1.0, len(rows), noise.fold_in(SEED, 2))
    proposed, _ = model.encode(batch["observations"])
    accumulate = model.levels[0].sums
    one = accumulate(proposed.loc, proposed.scale, heard, num_groups=5)
    every = accumulate(proposed.loc, proposed.scale, rows, num_groups=5)
    for terms, content in (
        (training_loss(model, batch["observations"], rows)[1], one),
        (mean_terms(model, batch), every),
    ):
        expected = objective.standard_normal_kl(content.loc, content.scale)
        np.testing.assert_allclose(
            terms.kl["content"], np.mean(expected), rtol=1e-10
        )
    assert not np.allclose(one.loc, every.loc)


@pytest.fixture
def flowing(make_model, generator):
    """A model whose flow is not the identity."""
    model = make_model(style_flow=2)
    for weight in model.flow.variables_to_fit:
        weight.assign_add(0.3 * generator.normal(size=weight.shape))
    return model


def test_the_flow_cancels_where_content_stays(flowing, batch):
    content, style = flowing.encode(batch["observations"])
    _, features = flowing.codec.propose(batch["observations"])
    raw = flowing.codec.learned_style(features, {"content": content.loc})
    np.testing.assert_array_equal(style.scale, raw.scale)
    assert not np.allclose(style.loc, raw.loc)
    logits = flowing.decoder(tf.concat([content.loc, raw.loc], axis=-1))
    np.testing.assert_allclose(
        flowing.decode(content.loc, style.loc).mean(),
        tf.sigmoid(logits),
        rtol=1e-7,
    )


def test_fit_leaves_the_flow_alone(flowing, batch):
    flow = {id(v) for v in flowing.flow.weights}
    assert not flow & {id(v) for v in flowing.trainable_variables}
    assert flow <= {id(v) for v in flowing.weights}


def test_the_flow_learns_from_each_observation_alone(flowing, batch):
    latents, features = flowing.codec.propose(batch["observations"])
    own = latents["content"].loc
    style = flowing.codec.learned_style(features, {"content": own})
    scale = style.scale.numpy()
    assert np.ptp(scale, axis=0).max() == 0  # All have one.
    draws = noise.normal(SEED, 12, 2, dtype="float64")
    spread = np.sqrt(np.maximum(1 - scale[0] ** 2, 0.01))
    expected = flowing.flow.negative_log_likelihood(
        style.loc + 0.1 * spread * draws, own, np.sqrt(1.01) * spread
    )
    nats = flowing.codec.flow.nats(Pairs(style.loc, own), scale[0], 0.1, SEED)
    np.testing.assert_allclose(nats, expected, rtol=1e-10)
    before = [w.numpy() for w in flowing.weights]
    parts = flowing.flow, flowing.directions
    fitted = {id(weight) for part in parts for weight in part.weights}
    last = flowing.fit_style_flow(**batch, steps=150)
    assert last < np.mean(expected) - 1
    for weight, value in zip(flowing.weights, before, strict=True):
        if id(weight) not in fitted:
            np.testing.assert_array_equal(weight, value)


def test_hands_are_of_one_group_and_as_large_as_can_be(generator):
    ids = np.array(list("abacabaaac"))
    hands = lessons.deal(ids, 3, generator)
    sizes = {}
    for hand in set(hands.tolist()):
        (group,) = set(ids[hands == hand].tolist())
        sizes.setdefault(group, []).append(np.count_nonzero(hands == hand))
    assert {g: sorted(s) for g, s in sizes.items()} == {
        "a": [3, 3],
        "b": [2],
        "c": [2],
    }


def test_only_a_flow_is_fitted(make_model, batch):
    with pytest.raises(ValueError, match="style_flow=10"):
        make_model().fit_style_flow(**batch)


def test_a_style_given_its_content(make_model, batch):
    model = make_model(style_given_content=True)
    images, ids = batch["observations"], batch["group_ids"]
    alone = model.infer_style(images)
    together = model.infer_style(images, ids)
    assert np.all(alone.scale == alone.scale[0])
    groups, content = model.infer_content(images, ids)
    of_rows = content.loc.numpy()[[list(groups).index(g) for g in ids]]
    _, features = model.codec.propose(tf.constant(images))
    head = model.style_head
    joined = np.concatenate([features, of_rows], axis=1)
    hidden = np.tanh(joined @ head.hidden_kernel + head.hidden_bias)
    expected = hidden @ head.kernel.numpy() + head.bias.numpy()[:2]
    np.testing.assert_allclose(together.loc, expected, rtol=1e-6)
    counts = np.array([list(ids).count(g) for g in ids])
    assert np.all(np.any(alone.loc != together.loc, axis=1)[counts > 1])
    np.testing.assert_allclose(  # Groups of one are the observation alone.
        alone.loc.numpy()[counts == 1],
        together.loc.numpy()[counts == 1],
        rtol=1e-6,
    )


def test_the_bound_holds_a_style_given_a_draw_of_the_content(make_model, batch):
    """In the mean over many draws, at the oracle's."""
    model = make_model(style_given_content=True)
    part = part_of(batch["observations"], rows_of(batch))
    seeds = [tf.constant([3, i]) for i in range(2)]
    for seed in seeds:
        of_groups, of_style = noise.split(seed)
        latents, features = model.codec.propose(part.observations)
        totals = model.codec.evidence(
            part.observations, latents, part.segment_ids, 12
        )
        groups = model.codec.groups(totals, part.segment_ids)
        content = groups.posteriors["content"]
        drawn = noise.sample(content.loc, content.scale, of_groups)
        drawn = tf.gather(drawn, part.first_ids)
        style = model.codec.learned_style(features, {"content": drawn})
        styles = noise.sample(style.loc, style.scale, of_style)
        distribution = model.decode(drawn, styles)
        log_prob = distribution.log_prob(batch["observations"])
        found = whole.mean_terms(model.elbo, part, seed)
        np.testing.assert_allclose(
            found.reconstruction, np.sum(log_prob) / 5, rtol=1e-8
        )


def test_padding_changes_nothing(make_model, batch):
    model = make_model()
    rows = rows_of(batch)
    plain = group_terms(model, batch["observations"], rows)
    padded = group_terms(
        model,
        np.concatenate([batch["observations"], np.zeros((4, 4, 4, 1))]),
        tf.concat([rows, [-1] * 4], 0),
    )
    # Noise is drawn by the row, in a shape that padding extends.
    for one, other in zip(tf.nest.flatten(padded), tf.nest.flatten(plain)):
        np.testing.assert_allclose(one[:12], other, rtol=1e-12)
        assert not np.any(one[5:])


@pytest.mark.parametrize("size", [1, 7, 8, 100, 129, 250, 256, 1000, 1024])
def test_few_padded_sizes(size):
    part = Part(tf.ones((size, 2)), {"content": tf.zeros(size, tf.int32)})
    part = batches.pad(part, batches.padded(size))
    observations, rows = part.observations, part.first_ids
    assert len(rows) == len(observations) <= size * 9 / 8
    assert np.count_nonzero(rows == 0) == np.sum(observations) / 2 == size
    unit = 2 ** max(size.bit_length() - 4, 0)
    assert len(rows) % unit == 0


def taken(sizes, *batch_sizes):
    return [int(sizes.take(tf.constant(int(n)))) for n in batch_sizes]


@pytest.mark.parametrize(
    ("batch_sizes", "expected"),
    [
        ([256, 256, 80, 256, 80], [256, 256, 80, 256, 80]),  # As they are.
        ([100, 100, 3], [104, 104, 3]),
        ([256, 128, 127, 200], [256, 256, 128, 256]),  # By half at least.
        ([200, 215, 190, 250], [208, 256, 208, 256]),  # Sizes vary.
        ([215, 300, 380, 400], [224, 384, 384, 512]),
    ],
)
def test_batches_take_few_sizes(batch_sizes, expected):
    assert taken(batches.Sizes(), *batch_sizes) == expected


def test_random_batches_take_few_sizes(generator):
    """Eighths of the power of two below would be eight."""
    ragged = generator.integers(129, 257, 200)
    found = taken(batches.Sizes(), *ragged)
    assert len(set(found)) <= 3
    assert all(size <= rows <= 2 * size for size, rows in zip(ragged, found))


def test_expected_batches_take_the_sizes_they_were_told():
    for order in (1, -1):
        sizes = batches.Sizes()
        sizes.expect(250, 60.0)
        batch_sizes = [131, 250, 90, 60, 91, 3][::order]
        expected = [256, 256, 128, 64, 128, 64][::order]
        assert taken(sizes, *batch_sizes) == expected
        assert taken(sizes, 300, 1) == [384, 64]


@pytest.mark.parametrize(
    ("mean", "expected"),
    [(250.0, [256]), (129.0, [256]), (128.0, [128, 256]), (1.0, None)],
)
def test_the_last_batch_has_no_size_of_its_own(mean, expected):
    sizes = batches.Sizes()
    sizes.expect(250, mean)
    expected = expected or [2**power for power in range(9)]
    assert sorted({*taken(sizes, *range(1, 251))}) == expected


@pytest.mark.parametrize("largest", [1, 7, 256, 1000])
def test_halved(largest):
    for size in range(1, largest + 1):
        found = int(batches.halved(tf.constant(largest), tf.constant(size)))
        halves = [largest / 2**k for k in range(11)]
        assert found == math.ceil(min(h for h in halves if h >= size))


def test_eager_graph_and_xla_report_the_same(make_model, batch):
    results = []
    for settings in (
        {"run_eagerly": True, "jit_compile": False},
        {"jit_compile": False},
        {"jit_compile": True},
    ):
        keras.utils.set_random_seed(0)
        model = make_model()
        model.compile(keras.optimizers.SGD(0.0), **settings)
        results.append(model.train_on_batch(batch, return_dict=True))
        del results[-1]["gradient_norm"]
        tested = model.evaluate(batch, verbose=0, return_dict=True)
        assert set(results[-1]) == set(tested)
    assert set(results[0]) == {
        *("loss", "elbo", "elbo_per_observation", "reconstruction"),
        *("content_kl", "style_kl"),
    }
    for name in ("content_kl", "style_kl"):  # The others depend on the noise.
        values = [result[name] for result in results]
        np.testing.assert_allclose(values, values[0], rtol=1e-6)
    elbos = [result["elbo"] for result in results]
    np.testing.assert_allclose(elbos[:2], elbos[0], rtol=1e-6)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_norm_of_the_gradient_is_reported(make_model, batch, scaled):
    model = make_model()
    optimizer = keras.optimizers.SGD(1.0)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 16.0)
    model.compile(optimizer, jit_compile=False)
    before = [w.numpy() for w in model.trainable_weights]
    reported = model.train_on_batch(batch, return_dict=True)
    moved = [b - w.numpy() for w, b in zip(model.trainable_weights, before)]
    norm = np.sqrt(sum(np.square(part).sum() for part in moved))
    assert float(reported["gradient_norm"]) == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("ids", ["string", "integer"])
def test_fit_improves_the_elbo(make_model, batch, ids):
    if ids == "integer":
        batch["group_ids"] = -batch["group_ids"].view(np.int32)
    model = make_model(dtype="float32")
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    dataset = tf.data.Dataset.from_tensors(batch).repeat(100)
    history = model.fit(dataset, epochs=3, verbose=0).history["elbo"]
    assert history[0] < history[1] < history[2]


def test_fit_takes_arrays(make_model, batch):
    model = make_model(dtype="float32")
    model.compile(optimizer="adam", jit_compile=False)
    history = model.fit(batch, batch_size=8, epochs=2, verbose=0).history
    assert len(history["elbo"]) == 2


def test_epoch_means_weigh_groups_not_batches(make_model, batch):
    model = make_model()
    model.compile(optimizer="adam", run_eagerly=True)
    parts = [{k: v[s] for k, v in batch.items()} for s in (
        slice(0, 1), slice(1, 12)
    )]  # fmt: skip
    single = [model.evaluate(p, verbose=0, return_dict=True) for p in parts]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(parts),
        output_signature={
            "observations": tf.TensorSpec((None, 4, 4, 1), tf.float64),
            "group_ids": tf.TensorSpec((None,), tf.string),
        },
    )
    both = model.evaluate(dataset, verbose=0, return_dict=True)
    expected = (single[0]["content_kl"] + 5 * single[1]["content_kl"]) / 6
    np.testing.assert_allclose(both["content_kl"], expected, rtol=1e-5)


def test_weights_of_the_divergences_follow_the_step(make_model, batch):
    model = make_model(
        dtype="float32",
        content_kl_weight=3.0,
        style_kl_weight=mlvae_tf.Warmup(16.0, 1.0, steps=4),
    )
    model.compile(optimizer=keras.optimizers.Adam(0.0), jit_compile=False)
    dataset = tf.data.Dataset.from_tensors(batch)
    losses = []
    for weight in (16, 8, 4, 2, 1, 1):
        result = {
            name: values[0]
            for name, values in model.fit(dataset, verbose=0).history.items()
        }
        expected = (
            3 * result["content_kl"]
            + weight * result["style_kl"]
            - result["reconstruction"]
        )
        np.testing.assert_allclose(result["loss"], expected, rtol=1e-5)
        losses.append(result["loss"])
    assert losses[0] > losses[3]


def test_equal_seeds_give_equal_bits_and_steps_new_noise(make_model, batch):
    def history():
        keras.utils.set_random_seed(0)
        model = make_model(dtype="float32")
        model.compile(optimizer=keras.optimizers.Adam(0.0))
        dataset = tf.data.Dataset.from_tensors(batch)
        return model.fit(dataset, epochs=2, verbose=0).history["elbo"]

    first, second = history(), history()
    assert first == second
    assert first[0] != first[1]


def test_infer_content_matches_the_oracle(make_model, batch):
    model = make_model()
    observations, ids = batch["observations"], batch["group_ids"]
    groups, content = model.infer_content(observations, ids)
    proposed, _ = model.encode(tf.constant(observations))
    expected_groups, loc, scale = reference.accumulate(
        proposed.loc.numpy(), proposed.scale.numpy(), ids.tolist()
    )
    assert groups.tolist() == expected_groups == ["b", "a", "c", "d", "e"]
    assert isinstance(content, tfp.distributions.Normal)
    np.testing.assert_allclose(content.loc, loc, rtol=1e-10)
    np.testing.assert_allclose(content.scale, scale, rtol=1e-10)


def test_a_million_observations_of_one_group(make_model):
    model = make_model(observation_shape=(3,), dtype="float32")
    one = np.array([[0.2, 0.9, 0.5]], np.float32)
    proposed, _ = model.encode(one)
    count = 1_000_000
    _, content = model.infer_content(
        np.broadcast_to(one, (count, 3)), np.zeros(count, int)
    )
    deviation = proposed.scale / np.sqrt(count)
    error = np.abs(content.loc - proposed.loc)
    assert np.all(error < 1e-3 * deviation)
    np.testing.assert_allclose(content.scale, deviation, rtol=1e-6)


def test_inference_does_not_depend_on_its_batches(make_model, batch):
    model = make_model()
    whole = model.infer_observations(batch["observations"])
    parts = model.infer_observations(batch["observations"], batch_size=5)
    for a, b in zip(whole, parts):
        np.testing.assert_allclose(a.loc, b.loc, rtol=1e-12)
        np.testing.assert_allclose(a.scale, b.scale, rtol=1e-12)


def test_inference_of_nothing_is_an_error(make_model):
    with pytest.raises(ValueError, match="at least one observation"):
        make_model().infer_style(np.zeros((0, 4, 4, 1)))


def test_predict_decodes_content_and_style(make_model, batch):
    model = make_model()
    observations, ids = batch["observations"], batch["group_ids"]
    style = model.infer_style(observations)
    assert style.batch_shape == (12, 2)
    groups, content = model.infer_content(observations, ids)
    rows = [groups.tolist().index(i) for i in ids]
    likelihood = model.decode(content.loc.numpy()[rows], style.loc)
    assert likelihood.event_shape == (4, 4, 1)
    means = likelihood.mean()
    np.testing.assert_allclose(model.predict(batch, verbose=0), means, 1e-6)


@pytest.mark.parametrize("trunk", ["mlp", "conv", "linear"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "normal_learned_scale"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 64, 3)])
def test_trunks_and_likelihoods_train_and_decode(trunk, likelihood, shape):
    model = mlvae_tf.MLVAE(
        shape, trunk=trunk, likelihood=likelihood, hidden_units=16
    )
    model.compile(optimizer="adam", jit_compile=False)
    data = {"observations": np.zeros((2, *shape)), "group_ids": [0, 1]}
    history = model.fit(tf.data.Dataset.from_tensors(data), verbose=0).history
    assert np.isfinite(history["elbo"][0])
    assert model.decode(tf.zeros((2, 10)), tf.zeros((2, 10))).mean().shape == (
        2,
        *shape,
    )


@pytest.fixture
def adapted(generator):
    """Observations of 12 values and a model of content 4 adapted to them."""
    axes = generator.normal(size=(12, 12)) * np.linspace(2, 0.1, 12)[:, None]
    observations = generator.normal(size=(300, 12)) @ axes + 3
    model = mlvae_tf.MLVAE(
        (4, 3), content_dim=4, trunk="linear", likelihood="normal"
    )
    observations = observations.reshape(-1, 4, 3).astype(np.float32)
    model.adapt(observations)
    return model, observations


def test_adapted_contents_are_principal_components(adapted):
    model, observations = adapted
    pca = PCA(4, whiten=True).fit(observations.reshape(-1, 12))
    expected = pca.transform(observations.reshape(-1, 12))
    content, style = model.infer_observations(observations)
    np.testing.assert_allclose(
        np.abs(content.loc), np.abs(expected), rtol=1e-2, atol=1e-2
    )
    np.testing.assert_allclose(np.std(content.loc, axis=0), 1, 1e-5)
    drawn = model.decode(content.loc, style.loc).mean().numpy()
    np.testing.assert_allclose(
        drawn.reshape(-1, 12), pca.inverse_transform(expected), atol=1e-4
    )


def test_the_adapted_trunk_learns_styles_and_is_saved(adapted, tmp_path):
    model, observations = adapted
    model.compile(optimizer="adam", jit_compile=False)
    data = {"observations": observations, "group_ids": np.arange(300) // 10}
    batches = tf.data.Dataset.from_tensors(data).repeat(20)
    elbo = model.fit(batches, verbose=0).history["elbo"][0]
    assert np.isfinite(elbo)
    content = np.zeros((1, 4), np.float32)
    styles = np.zeros((2, 1, 10), np.float32)
    styles[1] = 1
    first, second = (model.decode(content, s).mean().numpy() for s in styles)
    assert np.abs(first - second).max() > 1e-3
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.infer_style(observations).loc,
        model.infer_style(observations).loc,
    )


@pytest.mark.parametrize("rank", [0, 2])
def test_adapts_to_fewer_components_than_latents(generator, rank):
    axes = generator.normal(size=(rank, 13))
    observations = generator.normal(size=(50, rank)) @ axes
    model = mlvae_tf.MLVAE((13,), trunk="linear", likelihood="normal")
    model.adapt(observations)
    content, style = model.infer_observations(observations)
    zeros = content.loc.numpy()
    zeros[:, rank:] = 0  # Not principal components: as they were drawn.
    drawn = model.decode(zeros, style.loc).mean()
    np.testing.assert_allclose(drawn, observations, atol=1e-4)


@pytest.mark.parametrize(
    ("trunk", "observations", "message"),
    [
        ("mlp", np.zeros((5, 3)), "adapt needs .*: got 'mlp'"),
        ("linear", np.zeros((1, 3)), "adapt needs two observations: got 1"),
        ("linear", np.zeros((5, 4)), "observations must have shape"),
        ("linear", np.full((5, 3), np.nan), "observations must be finite"),
    ],
)
def test_adapt_refuses(trunk, observations, message):
    model = mlvae_tf.MLVAE((3,), trunk=trunk, likelihood="normal")
    with pytest.raises(ValueError, match=message):
        model.adapt(observations)


def test_vectors_and_deep_networks():
    model = mlvae_tf.MLVAE((13,), hidden_units=(20, 10), likelihood="normal")
    assert [w.shape[-1] for w in model.encoder.weights] == [20, 20, 10, 10]
    assert model.infer_style(np.zeros((2, 13))).batch_shape == (2, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trunk": "rnn"}, "'mlp', 'conv', 'linear': got 'rnn'"),
        ({"likelihood": "x"}, "likelihood must be one of 'bernoulli'"),
        ({"content_samples": "x"}, "content_samples must be one of 'group'"),
        ({"content_dim": 0}, "content_dim must be at least 1"),
        ({"evidence_dropout": 1.5}, r"evidence_dropout must be in \[0, 1\]"),
        (
            {"likelihood": "normal", "observation_scale": 0.0},
            r"\(observation_scale of MLVAE\) must be positive",
        ),
        (
            {"trunk": "conv", "observation_shape": (3, 28, 1)},
            r"sides of at least 4: got observation_shape=\(3, 28, 1\)",
        ),
        ({"observation_shape": ()}, "observation_shape must have"),
    ],
)
def test_bad_settings(make_model, settings, message):
    with pytest.raises(ValueError, match=message):
        make_model(**settings)


BAD_BATCHES = [
    (
        lambda b: {**b, "group_ids": b["group_ids"][:10]},
        "one id per observation: got 10 ids for 12 observations",
    ),
    (
        lambda b: {**b, "observations": b["observations"][:, :3]},
        r"must have shape \[N, 4, 4, 1\]: got",
    ),
    (lambda b: {**b, "observations": b["observations"] * 255}, r"in \[0, 1\]"),
    (lambda b: {**b, "observations": b["observations"] * np.nan}, "NaN|nan"),
    (lambda b: {**b, "group_ids": np.ones(12)}, "integers or strings"),
    (lambda b: {**b, "group_ids": np.ones((12, 1), int)}, "one axis"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_BATCHES)
def test_bad_batches_for_inference(make_model, batch, spoil, message):
    with pytest.raises(ValueError, match=message):
        make_model().infer_content(**spoil(batch))


@pytest.mark.parametrize(("spoil", "message"), BAD_BATCHES[1:])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_bad_batches_for_fit(make_model, batch, spoil, message, jit_compile):
    model = make_model(dtype="float32")
    model.compile(optimizer="adam", jit_compile=jit_compile)
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(ValueError, match=message):
        model.fit(tf.data.Dataset.from_tensors(spoil(batch)), verbose=0)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_a_run_away_last_step_is_an_error(make_model, batch):
    model = make_model(dtype="float32", likelihood="normal")
    model.compile(optimizer=keras.optimizers.SGD(1e38), jit_compile=False)
    with pytest.raises(ValueError, match="weights must stay finite"):
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)


def test_batches_of_another_kind(make_model, batch):
    model = make_model(dtype="float32")
    model.compile(optimizer="adam", jit_compile=False)
    x, ids = batch["observations"], batch["group_ids"]
    for data, message in (
        ((x, x), "no targets"),
        ({"images": x, "group_ids": ids}, "got images, group_ids"),
        (x, "expected batches"),
    ):
        dataset = tf.data.Dataset.from_tensors(data)
        with pytest.raises(ValueError, match=message):
            model.fit(dataset, verbose=0)
    with pytest.raises(ValueError, match="10 ids for 12"):
        model.fit({**batch, "group_ids": ids[:10]}, verbose=0)


def test_validation_data_may_have_string_ids(make_model, batch):
    model = make_model(dtype="float32")
    model.compile(optimizer="adam", jit_compile=False)
    history = model.fit(batch, validation_data=batch, verbose=0).history
    assert np.isfinite(history["val_elbo"][0])


def test_train_on_batch(make_model, batch):
    model = make_model(dtype="float32")
    model.compile(optimizer="adam", jit_compile=False)
    data = {"observations": tf.constant(batch["observations"], tf.float32),
            "group_ids": rows_of(batch)}  # fmt: skip
    before = model.get_weights()
    assert model.train_on_batch(data, return_dict=True)["elbo"] < 0
    assert any(np.any(a != b) for a, b in zip(before, model.get_weights()))


def test_predict_refuses_bad_values(make_model, batch):
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        make_model().predict(
            {**batch, "observations": batch["observations"] * 9}
        )


def test_a_runaway_loss_is_an_error(make_model, batch):
    model = make_model(dtype="float32", likelihood="normal")
    model.compile(optimizer=keras.optimizers.SGD(1e30))
    dataset = tf.data.Dataset.from_tensors(batch).repeat(10)
    with pytest.raises(ValueError, match="the loss must stay finite"):
        model.fit(dataset, verbose=0)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("which", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_not_taken(
    make_model, batch, monkeypatch, jit_compile, which
):
    found = whole.loss_and_gradients

    def spoiled(*args):
        loss, terms, (first, *others) = found(*args)
        if which == "loss":
            loss *= float("nan")
        return (
            loss,
            terms,
            [first / (0.0 if which == "gradient" else 1.0), *others],
        )

    monkeypatch.setattr(whole, "loss_and_gradients", spoiled)
    model = make_model(dtype="float32")
    model.compile("adam", jit_compile=jit_compile)
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(ValueError, match="the loss must stay finite, and its"):
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("jit_compile", [False, True])
def test_some_steps_that_are_not_finite_are_passed_over(
    make_model, batch, monkeypatch, jit_compile
):
    model = make_model(dtype="float32")
    model.compile("adam", jit_compile=jit_compile)
    found, bad = whole.loss_and_gradients, tf.constant([1, 3], tf.int64)

    def spoiled(*args):
        loss, terms, gradients = found(*args)
        step = tf.cast(model.optimizer.iterations, bad.dtype)
        now = tf.reduce_any(bad == step)
        return loss + tf.where(now, np.inf, 0.0), terms, gradients

    monkeypatch.setattr(whole, "loss_and_gradients", spoiled)
    dataset = tf.data.Dataset.from_tensors(batch).repeat(5)
    history = model.fit(dataset, max_bad_steps=2, verbose=0).history
    assert model.bad_steps == 2
    assert int(model.optimizer.iterations) == 5
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())
    before = model.get_weights()
    model.optimizer.iterations.assign(1)
    with pytest.raises(ValueError, match="the loss must stay finite, and its"):
        model.fit(dataset, verbose=0)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_config_round_trip(make_model):
    model = make_model(
        likelihood="normal",
        observation_scale=0.5,
        content_samples="observation",
        evidence_dropout=0.5,
        style_flow=3,
        style_kl_weight=mlvae_tf.Warmup(20.0, 1.0, 10),
        name="mine",
    )
    config = model.get_config()
    again = mlvae_tf.MLVAE.from_config(config)
    assert again.get_config() == config
    assert again.style.kl_weight.start == 20.0


@pytest.mark.parametrize(
    "style_flow", [0, pytest.param(2, marks=pytest.mark.slow)]
)
def test_keras_file_gives_the_same_outputs(
    make_model, batch, tmp_path, style_flow
):
    model = make_model(dtype="float32", style_flow=style_flow)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=False)
    model.fit(batch, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for method in ("infer_style", "infer_content"):
        arguments = [batch["observations"]]
        if method == "infer_content":
            arguments.append(batch["group_ids"])
        a, b = (getattr(m, method)(*arguments) for m in (model, loaded))
        if method == "infer_content":
            assert a[0].tolist() == b[0].tolist()
            a, b = a[1], b[1]
        np.testing.assert_allclose(a.loc, b.loc, rtol=0, atol=1e-6)
        np.testing.assert_allclose(a.scale, b.scale, rtol=0, atol=1e-6)
    # The optimizer comes back too: both go on alike.
    a, b = (m.fit(batch, verbose=0, shuffle=False) for m in (model, loaded))
    np.testing.assert_allclose(a.history["elbo"], b.history["elbo"], 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_mixed_precision_keeps_evidence_in_full(make_model, batch, jit_compile):
    single = make_model(dtype="float32", style_flow=2)
    mixed = make_model(dtype="mixed_bfloat16", style_flow=2)
    mixed.set_weights(single.get_weights())
    assert mixed.encoder.layers[-1].compute_dtype == "bfloat16"
    images, ids = batch["observations"], batch["group_ids"]
    for one, other in zip(
        (*single.encode(images), single.infer_content(images, ids)[1]),
        (*mixed.encode(images), mixed.infer_content(images, ids)[1]),
    ):
        assert other.dtype == one.dtype == tf.float32
        np.testing.assert_allclose(other.scale, one.scale, rtol=0.03)
    latents = [tf.zeros((2, dim)) for dim in (3, 2)]
    assert mixed.decode(*latents).log_prob(images[:2]).dtype == tf.float32
    mixed.compile(optimizer="adam", jit_compile=jit_compile)
    history = mixed.fit(batch, epochs=2, verbose=0, batch_size=12)
    assert np.isfinite(history.history["loss"]).all()
