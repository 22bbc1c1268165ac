"""The signatures of models with several levels, crossed and nested."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from server import Refused, Server

import mlvae_tf
from mlvae_tf import Level, control, serving
from mlvae_tf.errors import InputError

SHAPE = (4, 4, 1)
NESTED = [Level("patient", 3), Level("visit", 3, parent="patient")]
MODELS = {
    "crossed": {"levels": {"person": 3, "light": 2}},
    "nested": {"levels": NESTED},
    "deep": {
        "levels": [*NESTED, Level("hour", 3, parent="visit"), Level("site", 2)],
        "style_given_content": True,
    },
    "gaps": {
        "levels": {"person": 3, "light": 2},
        "style_given_content": True,
        "style_flow": 2,
        "missing_values": True,
    },
    "no_style": {"levels": {"person": 3, "light": 2}, "style_dim": 0},
}
IDS = {
    "person": list("bacabbdeaabd"),
    "light": list("001011001101"),
    "patient": list("aaaaabbbbbcc"),
    "visit": list("112221111311"),  # Within their patients.
    "hour": list("898898889988"),
    "site": list("xyxyxyxyxyxx"),
}
# Calls signatures with arrays named SIGNATURE/INPUT, and saves the answers.
CLIENT = """
    import sys
    import numpy as np
    import tensorflow as tf

    folder, inputs, outputs = sys.argv[1:]
    served = tf.saved_model.load(folder).signatures
    given = {}
    for key, value in np.load(inputs).items():
        name, key = key.split("/")
        given.setdefault(name, {})[key] = tf.constant(value)
    assert set(served) == set(given) | {"serving_default"}
    results = {name: served[name](**of) for name, of in given.items()}
    assert "mlvae_tf" not in sys.modules
    assert "tensorflow_probability" not in sys.modules
    np.savez(outputs, **{
        f"{name}/{key}": value.numpy().astype(str)
        if value.dtype == tf.string else value.numpy()
        for name, result in results.items()
        for key, value in result.items()
    })
"""


def make(name):
    keras.utils.set_random_seed(0)
    settings = {"style_dim": 2, **MODELS[name]}
    model = mlvae_tf.MLVAE(SHAPE, hidden_units=8, **settings)
    generator = np.random.default_rng(1)
    for weights in model.weights:  # The spreads too, and no head near a prior.
        weights.assign_add(generator.normal(0, 0.3, weights.shape))
    return model


def numbers(generator, *shape):
    return generator.uniform(0.5, 1.5, size=shape).astype(np.float32)


def requests_of(model):
    """What a client asks of every signature."""
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(12, *SHAPE)).astype(np.float32)
    if model.missing_values:
        images[3] = np.nan
        images[4, 0] = np.nan
    observations = {"observations": images}
    ids = {f"{v.name}_ids": np.array(IDS[v.name]) for v in model.levels}
    drawn = model.codec.drawn
    one, many, latents, sources = {}, {}, {}, {}
    for number, level in enumerate(drawn):
        for part in ("precision", "weighted_loc"):
            key = f"{level.name}_{part}"
            one[key] = numbers(generator, level.dim)
            many[key] = numbers(generator, 3 + number, level.dim)
        latents[level.name] = numbers(generator, 4, level.dim)
        key = f"{level.name}_observations"
        sources[key] = images[3 * number : 3 * number + 2 + number]
    if model.style_dim:
        latents["style"] = numbers(generator, 4, model.style_dim)
        sources["style_observations"] = images[5:]
    return {
        "encode": observations,
        "infer_groups": observations | ids,
        "accumulate": one | observations,
        "decode": latents,
        "reconstruct": observations | ids,
        "swap": sources,
        "identify": observations | many,
    }


class Case:
    """A model, what is asked of it, and the answers of its SavedModel."""

    def __init__(self, name, folder):
        self.model = make(name)
        self.folder = folder / "1"
        self.model.export(self.folder)
        self.given = requests_of(self.model)
        arrays = {
            f"{signature}/{key}": value
            for signature, of in self.given.items()
            for key, value in of.items()
        }
        np.savez(folder / "in.npz", **arrays)
        paths = self.folder, folder / "in.npz", folder / "out.npz"
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CLIENT), *paths],
            check=True,
            cwd=folder,
        )
        self.answers = {}
        for path, value in np.load(folder / "out.npz").items():
            signature, key = path.split("/")
            self.answers.setdefault(signature, {})[key] = value

    @property
    def images(self):
        return self.given["encode"]["observations"]

    @property
    def ids(self):
        return {v.name: np.array(IDS[v.name]) for v in self.model.levels}

    @property
    def drawn(self):
        return self.model.codec.drawn


# The others are what these are without something.
SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("crossed", "nested")
]


@pytest.fixture(scope="module", params=["deep", "gaps", "no_style", *SLOW])
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


def assert_same(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def assert_normal(answer, name, normal):
    assert_same(answer[f"{name}_loc"], normal.loc)
    assert_same(answer[f"{name}_scale"], normal.scale)


def test_encode(case):
    contents, style = case.model.encode(tf.constant(case.images))
    answer = case.answers["encode"]
    for name, content in contents.items():
        assert_normal(answer, name, content)
    parts = {f"{v.name}_{p}" for v in case.drawn for p in ("loc", "scale")}
    if case.model.style_dim:
        parts |= {"style_loc", "style_scale"}
        assert_normal(answer, "style", style)
        assert_normal(answer, "style", case.model.infer_style(case.images))
    assert set(answer) == parts


def test_infer_groups(case):
    answer = case.answers["infer_groups"]
    known = ~np.isnan(case.images).all(axis=(1, 2, 3))
    for name, (groups, content) in case.model.infer_content(
        case.images, case.ids
    ).items():
        assert answer[f"{name}_groups"].tolist() == groups.tolist()
        assert_normal(answer, name, content)
        assert answer[f"{name}_count"].dtype == np.int64
        assert answer[f"{name}_count"].sum() == known.sum()
    first = len(answer[f"{case.model.levels[0].name}_groups"])
    assert answer["num_groups"] == first


def test_counts_and_evidence_are_those_of_the_groups(case):
    """By hand, of groups told apart by all their ids."""
    answer, ids = case.answers["infer_groups"], case.ids
    proposed, _ = case.model.infer_observations(case.images)
    known = ~np.isnan(case.images).all(axis=(1, 2, 3))
    parents = case.model.codec.parents
    for level in case.model.levels:
        full, name = ids[level.name], level.name
        while name in parents:
            name = parents[name]
            full = np.char.add(np.char.add(ids[name], "/"), full)
        of_groups = [full == one for one in dict.fromkeys(full.tolist())]
        counts = [(own & known).sum() for own in of_groups]
        assert answer[f"{level.name}_count"].tolist() == counts
        if level not in case.drawn:
            assert f"{level.name}_precision" not in answer
            continue
        q = proposed[level.name]
        precision = 1 / np.float64(q.scale) ** 2
        weighted = precision * np.float64(q.loc)
        for row, own in enumerate(of_groups):
            own = own & known
            for part, values in zip(
                ("precision", "weighted_loc"), (precision, weighted)
            ):
                found = answer[f"{level.name}_{part}"][row]
                assert_same(found, values[own].sum(axis=0))


def test_inner_groups_say_which_outer_one_they_are_in(case):
    answer = case.answers["infer_groups"]
    for inner, outer in case.model.codec.parents.items():
        rows = answer[f"{inner}_parent"]
        assert rows.dtype == np.int64
        assert len(rows) == len(answer[f"{inner}_groups"])
        if (inner, outer) == ("visit", "patient"):
            found = answer["patient_groups"][rows].tolist()
            assert found == list("aabbc")
        if (inner, outer) == ("hour", "visit"):
            assert rows.tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
    crossed = {v.name for v in case.model.levels if not v.parent}
    assert not any(f"{name}_parent" in answer for name in crossed)


def test_a_stored_group_and_its_observations_are_one_group(case):
    """On every level, as if the store's were those of one observation more."""
    given, answer = case.given["accumulate"], case.answers["accumulate"]
    one = case.model.codec
    proposed, _ = case.model.infer_observations(case.images)
    known = ~np.isnan(case.images).all(axis=(1, 2, 3))
    totals = {}
    for level in case.drawn:
        q = proposed[level.name]
        precision = 1 / np.float64(q.scale)[known] ** 2
        weighted = precision * np.float64(q.loc)[known]
        total = [
            given[f"{level.name}_{part}"] + values.sum(axis=0)
            for part, values in (
                ("precision", precision),
                ("weighted_loc", weighted),
            )
        ]
        assert_same(answer[f"{level.name}_precision"], total[0])
        assert_same(answer[f"{level.name}_weighted_loc"], total[1])
        totals[level.name] = mlvae_tf.evidence.Evidence(
            *(tf.constant(part)[tf.newaxis] for part in total)
        )
    rows = dict.fromkeys(case.ids, tf.zeros(1, tf.int32))
    for name, content in one.groups(totals, rows).posteriors.items():
        assert_same(answer[f"{name}_loc"], content.loc[0])
        assert_same(answer[f"{name}_scale"], content.scale[0])
    assert answer["num_groups"] == 1


def test_zeros_are_a_new_group_on_every_level(case):
    served = tf.saved_model.load(str(case.folder)).signatures["accumulate"]
    state = {
        key: np.zeros_like(value)
        for key, value in case.given["accumulate"].items()
        if key != "observations"
    }
    for some in (case.images[:5], case.images[5:]):
        answer = served(**state, observations=tf.constant(some))
        state = {key: answer[key] for key in state}
    ids = {name: np.zeros(12, int) for name in case.ids}
    contents = case.model.infer_content(case.images, ids)
    for name, (_, content) in contents.items():
        assert_same(answer[f"{name}_loc"], content.loc[0])
        assert_same(answer[f"{name}_scale"], content.scale[0])


def test_decode(case):
    given = dict(case.given["decode"])
    style = given.pop("style", np.zeros((4, 0), np.float32))
    expected = case.model.decode(given, style).mean()
    assert_same(case.answers["decode"]["observations"], expected)


def test_reconstruct(case):
    expected = control.reconstruct(case.model, case.images, case.ids)
    assert_same(case.answers["reconstruct"]["observations"], expected)
    first = np.unique(case.ids[case.model.levels[0].name])
    assert case.answers["reconstruct"]["num_groups"] == len(first)


def test_swap(case):
    given = dict(case.given["swap"])
    style = given.pop("style_observations", case.images[:1])
    sources = {v.name: given[f"{v.name}_observations"] for v in case.drawn}
    expected = control.combine(case.model, sources, style)
    assert_same(case.answers["swap"]["observations"], expected)


def test_identify(case):
    """The ratio of densities of what the evidence is of, by its definition."""
    given, codec = case.given["identify"], case.model.codec
    proposed, _ = case.model.infer_observations(case.images)
    by_name = {level.name: level for level in case.model.levels}
    for level in case.drawn:
        variance, one = np.ones(level.dim), level
        while one.parent:
            variance = variance + 1 / codec.spreads[one.name].precision.numpy()
            one = by_name[one.parent]
        precision, weighted = (
            np.float64(given[f"{level.name}_{part}"])
            for part in ("precision", "weighted_loc")
        )
        asked = [np.float64(p) for p in (q_parts(proposed[level.name]))]
        scores = case.answers["identify"][f"{level.name}_scores"]
        assert scores.shape == (12, len(precision))
        row, group = 7, 1
        first = asked[0][row], asked[1][row] ** 2
        second = weighted[group] / precision[group], 1 / precision[group]
        assert_same(scores[row, group], ratio(first, second, variance))
    first = f"{case.drawn[0].name}_precision"
    assert case.answers["identify"]["num_groups"] == len(given[first])


def q_parts(normal):
    return normal.loc, normal.scale


def ratio(first, second, prior):
    """log p(m, n) / (p(m) p(n)) of means seen of one latent, of all dims."""
    total = 0
    for m, v, n, w, p in zip(*first, *second, prior, strict=True):
        both = stats.multivariate_normal(
            [0, 0], [[p + v, p], [p, p + w]]
        ).logpdf([m, n])
        total += both - stats.norm(0, np.sqrt(p + v)).logpdf(m)
        total -= stats.norm(0, np.sqrt(p + w)).logpdf(n)
    return total


@pytest.mark.slow
def test_what_is_not_known_says_nothing(tmp_path):
    case = Case("gaps", tmp_path)
    for level in case.drawn:
        scores = case.answers["identify"][f"{level.name}_scores"]
        np.testing.assert_allclose(scores[3], 0, atol=1e-6)
        assert np.abs(np.delete(scores, 3, axis=0)).min() > 0


# What a server makes of it.


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "1"
    make("crossed").export(folder)
    return {b: Server(folder, batching=b) for b in (False, True)}


def one_length(model, rows=3):
    """Requests all of whose inputs have as many rows, and as many groups."""

    def rows_of(value):
        if value.dtype.kind == "U":
            return np.arange(rows).astype(str).astype(object)
        return np.resize(value, (rows, *value.shape[1:]))

    return {
        name: {key: rows_of(value) for key, value in of.items()}
        for name, of in requests_of(model).items()
    }


@pytest.mark.parametrize("name", sorted(set(serving.NAMES) - {"encode_images"}))
def test_a_server_that_batches_mixes_no_clients(name, servers):
    request = one_length(make("crossed"))[name]
    batching, single = servers[True], servers[False]
    if name == "accumulate":  # Dimensions of two lengths.
        request["light_precision"] = np.ones(2, np.float32)
        with pytest.raises(Refused, match="equal 0th-dimension"):
            batching.predict(name, request)
        return
    if name in ("encode", "decode"):
        answers = batching.predict(name, request, request)
        expected = single.predict(name, request)[0]
        for answer in answers:
            for key, value in expected.items():
                np.testing.assert_allclose(answer[key], value, atol=1e-6)
        return
    with pytest.raises(Refused, match="0 dimensions"):
        batching.predict(name, request)
    assert single.predict(name, request)[0]["num_groups"].shape == ()


def refused(servers, name, **changes):
    request = {
        key: value.astype(object) if value.dtype.kind == "U" else value
        for key, value in (requests_of(make("crossed"))[name] | changes).items()
    }
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        servers[False].predict(name, request)
    return raised.value.message


def test_requests_that_are_amiss_are_named(servers):
    said = refused(servers, "infer_groups", light_ids=np.array(list("ab")))
    assert (
        "light_ids must have one id per observation: got 2 ids for 12 "
        "observations. Pass light_ids of shape [12]." in said
    )
    said = refused(servers, "infer_groups", person_ids=np.array([["a"]]))
    assert "person_ids must have shape [N]: got [1 1]" in said
    said = refused(servers, "decode", light=np.ones((3, 2), np.float32))
    assert (
        "expected person [N, 3] and light [N, 2] and style [N, 2]: got [4 3] "
        "and [3 2] and [4 2]." in said
    )
    said = refused(servers, "decode", light=np.full((4, 2), np.nan, np.float32))
    assert "light must be finite: got NaN" in said
    said = refused(
        servers, "accumulate", light_precision=-np.ones(2, np.float32)
    )
    assert "light_precision must be finite and not negative" in said
    said = refused(
        servers, "accumulate", light_precision=np.zeros(2, np.float32)
    )
    assert "light_weighted_loc must be finite, and 0 where light_prec" in said
    said = refused(servers, "identify", light_precision=np.ones((1, 2), "f4"))
    assert (
        "expected light_precision [N, 2] and light_weighted_loc [N, 2]: got "
        "[1 2] and [4 2]. One row of each is of one group." in said
    )
    said = refused(
        servers, "swap", light_observations=np.full((2, *SHAPE), 7, "f4")
    )
    assert "light_observations must be numbers in [0, 1]" in said
    nothing = np.zeros((0, *SHAPE), np.float32)
    said = refused(servers, "swap", person_observations=nothing)
    assert "expected at least one observation: got none" in said


def test_averages_have_no_evidence(tmp_path):
    levels = [Level("person", 3), Level("light", 2, accumulation="average")]
    model = mlvae_tf.MLVAE(SHAPE, levels=levels, style_dim=2, hidden_units=8)
    model.export(tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert not {"accumulate", "identify"} & set(served)
    given = requests_of(model)["infer_groups"]
    answer = served["infer_groups"](**given)
    ids = {name: np.array(IDS[name]) for name in ("person", "light")}
    found = model.infer_content(given["observations"], ids)
    for name, (_, content) in found.items():
        assert_normal(answer, name, content)


def test_names_that_would_meet_are_refused(tmp_path):
    levels = {"a": 2, "a_weighted": 2}
    model = mlvae_tf.MLVAE(SHAPE, levels=levels, hidden_units=8)
    with pytest.raises(InputError, match="'a_weighted_loc': rename a level"):
        model.export(tmp_path / "1")


@pytest.mark.parametrize("name", ["class", "_x", "größe", "a b", "num"])
def test_names_that_no_signature_can_have(name):
    words = "cannot be called" if name == "num" else "must be a word"
    with pytest.raises(InputError, match=words):
        mlvae_tf.MLVAE(SHAPE, levels={name: 2, "other": 2}, hidden_units=8)


def test_what_a_client_reads_of_the_levels(tmp_path):
    model = make("nested")
    groups = {"patient": np.array(["a", "b"])}
    serving.export(model, tmp_path / "1", groups)
    found = serving.description(tmp_path / "1")
    patient, visit = found["levels"]
    level = {"name": "patient", "dim": 3, "accumulation": "product"}
    assert patient == {**level, "num_groups": 2, "groups": ["a", "b"]}
    assert (visit["name"], visit["parent"]) == ("visit", "patient")
    np.testing.assert_allclose(
        visit["spread_precision"], model.visit_spread.precision, rtol=1e-6
    )
    inputs = found["signatures"]["infer_groups"]["inputs"]
    assert list(inputs) == ["observations", "patient_ids", "visit_ids"]


def test_the_content_part_without_checks(tmp_path):
    model = make("crossed")
    model.export(tmp_path / "1")
    images = requests_of(model)["encode"]["observations"]
    saved = tf.saved_model.load(str(tmp_path / "1"))
    found = saved.propose(images)
    contents, _ = model.encode(tf.constant(images))
    assert set(found) == set(contents)
    for name, content in contents.items():
        assert_same(found[name][0], content.loc)
        assert_same(found[name][1], content.scale)
