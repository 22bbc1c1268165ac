import shutil

import keras
import numpy as np
import pytest
import reference
from scripts import assert_fails, script

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.runs import workdir
from mlvae_tf.runs.encoding import Task
from mlvae_tf.store import encoding
from mlvae_tf.store.table import ContentStore


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(["ann", "bob", "cy"])


def assert_equal(left, right, rtol=1e-12):
    assert left.groups.tolist() == right.groups.tolist()
    assert left.counts.tolist() == right.counts.tolist()
    assert (left.rule, left.model) == (right.rule, right.model)
    for a, b in zip(left.evidence, right.evidence):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("groups", [["b", "a", "c", "d"], [7, -1, 3, 2**40]])
@pytest.mark.parametrize("rule", ["product", "product_with_prior"])
def test_matches_the_oracle(make_model, generator, groups, rule):
    """Whatever the batches, and parts that share groups; in float64."""
    model = make_model(accumulation=rule, style_flow=1)
    images = generator.integers(0, 256, (30, 4, 4, 1), np.uint8)
    ids = generator.choice(np.array(groups[:3]), 30)
    ids[-3:] = groups[3]  # Of the last part only.
    parts = [
        GroupedData.of(images[rows], ids[rows])
        for rows in (slice(0, 4), slice(4, 21), slice(21, 30))
    ]
    # As the likelihood has them: 8-bit values over 255, in float32.
    values = images.astype(np.float32) / np.float32(255)
    proposed, _ = model.infer_observations(values)
    loc, scale = proposed.loc.numpy(), proposed.scale.numpy()
    expected_groups, expected_loc, expected_scale = reference.accumulate(
        loc, scale, ids
    )
    if rule == "product_with_prior":
        precision = expected_scale**-2 + 1
        expected_loc *= (precision - 1) / precision
        expected_scale = precision**-0.5
    order = np.argsort(np.array(expected_groups))
    for batch_size in (1, 4, 64):
        store = encoding.encode(model, parts, batch_size)
        assert store.groups.tolist() == sorted(groups)
        for group, count in zip(store.groups, store.counts):
            assert count == np.sum(ids == group)
        actual = store.posterior()
        for a, b in zip(actual, (expected_loc, expected_scale)):
            np.testing.assert_allclose(a, b[order], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_script(run, tmp_path):
    """Update equals all at once; what is added can be taken back; merge."""

    def encode(name, *arguments):
        path = tmp_path / f"{name}.parquet"
        process = script("encode.py", f"--output={path}", *arguments)
        assert process.returncode == 0, process.stderr
        store = ContentStore.load(path)
        count, groups = store.counts.sum(), len(store)
        line = f"{count} observations, {groups} groups: {path}\n"
        assert process.stdout == line
        return path, store

    workdir_flag, flags = f"--workdir={run}", ("--holdout_observations=0.4",)
    _, whole = encode("whole", workdir_flag)
    assert whole.counts.sum() == 50
    train, some = encode("train", workdir_flag, "--split=train", *flags)
    assert some.counts.sum() < 40
    rest = "--split=validation", *flags, workdir_flag
    both, updated = encode("both", f"--update={train}", *rest)
    assert_equal(updated, whole)
    _, back = encode("back", f"--update={both}", "--remove", *rest)
    assert_equal(back, some)
    _, merged = encode("merged", f"--merge={train},{both}")
    assert_equal(merged, some.merge(whole))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workdir=x"], ["--output=PATH is required"]),
        (["--output={here}/a"], ["--workdir=DIR is required"]),
        (["--output={here}/old"], ["exists already", "--overwrite"]),
        (["--output={here}"], ["is a folder"]),
        (["--output=/proc/no/a"], ["/proc/no cannot be written to"]),
        (["--output={here}/a", "--remove"], ["pass --update=PATH"]),
        (["--output={here}/a", "--", "--runner=X"], ["--runner=X", "--beam"]),
        (["--output={here}/a", "stray"], ["unexpected argument 'stray'"]),
        (["--output={here}/a", "--merge=a", "--beam"], ["--merge encodes"]),
        (
            ["--output={here}/a", "--merge={here}/old,{here}/no"],
            ["old is damaged, or no Parquet table"],
        ),
        (["--output={here}/a", "--update={here}/no"], ["no such table"]),
    ],
)
def test_mistakes(arguments, words, run, tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    arguments = [argument.format(here=tmp_path) for argument in arguments]
    if words != ["--workdir=DIR is required"]:
        arguments.insert(0, f"--workdir={run}")
    assert_fails(script("encode.py", *arguments), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_another_model_and_other_ids_are_refused(make_run, run):
    task = Task.of(run, {}, None, 16)
    model, parts = task.load_model(), task.parts()
    stored = encoding.encode(model, parts)
    encoding.check_adds_up(stored, model, parts)
    numbered = [GroupedData.of(parts[0].observations, np.arange(len(parts[0])))]
    with pytest.raises(InputError, match="strings: got integers"):
        encoding.check_adds_up(stored, model, numbered)
    other = make_run(["ann"], seed=1)
    with pytest.raises(InputError, match="the store is of model"):
        encoding.check_adds_up(stored, workdir.load_model(other), parts)


def test_the_fingerprint_is_that_of_the_content(make_model):
    model = make_model()
    before = encoding.fingerprint(model)
    assert encoding.fingerprint(make_model(activation="relu")) != before
    for layer in (model.decoder, model.style_head):
        layer.weights[0].assign_add(0 * layer.weights[0] + 1)
        assert encoding.fingerprint(model) == before
    for layer in (model.encoder, model.content_head):
        layer.weights[0].assign_add(0 * layer.weights[0] + 1)
        assert encoding.fingerprint(model) != before
        before = encoding.fingerprint(model)


def test_the_fingerprint_tells_of_missing_values_and_own_networks(make_model):
    def own(activation):
        return keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                keras.layers.Flatten(),
                keras.layers.Activation(activation),
            ]
        )

    prints = [
        encoding.fingerprint(make_model(**settings))
        for settings in (
            {},
            {"missing_values": True},
            {"encoder": own("tanh")},
            {"encoder": own("relu")},
        )
    ]
    assert len(set(prints)) == 4


def test_what_is_unknown_belongs_to_no_group(make_model, generator):
    """Nor does a group of which nothing is known have a row."""
    model = make_model(missing_values=True)
    images = generator.uniform(size=(9, 4, 4, 1)).astype(np.float32)
    images[generator.uniform(size=images.shape) < 0.3] = np.nan
    images[[2, 7, 8]] = np.nan
    ids = np.array(list("abcabcabd"))
    known = np.delete(np.arange(9), [2, 7, 8])
    whole = encoding.encode(model, [GroupedData.of(images, ids)], 4)
    some = GroupedData.of(images[known], ids[known])
    assert_equal(whole, encoding.encode(model, [some], 4))
    assert whole.groups.tolist() == ["a", "b", "c"]
    assert whole.counts.tolist() == [3, 2, 1]
    groups, content = model.infer_content(images, ids)
    order = [groups.tolist().index(group) for group in "abc"]
    loc, scale = whole.posterior()
    np.testing.assert_allclose(loc, content.loc.numpy()[order], rtol=1e-6)
    np.testing.assert_allclose(scale, content.scale.numpy()[order], rtol=1e-6)


def test_eight_bits_are_what_the_likelihood_says(make_model, generator):
    counts = generator.integers(0, 256, (9, 4, 4, 1), np.uint8)
    ids = np.arange(9) % 2
    model = make_model(likelihood="poisson")
    stored, real = (
        encoding.encode(model, [GroupedData.of(values, ids)], 4)
        for values in (counts, counts.astype(np.float32))
    )
    assert_equal(stored, real)


def test_averages_are_refused(make_run):
    folder = make_run(["a"], accumulation="average")
    with pytest.raises(InputError, match="product_with_prior: got average"):
        Task.of(folder, {}, None, 16).load_model()


def test_what_is_encoded(run):
    task = Task.of(run, {"holdout_groups": 0.4}, "unseen", 16)
    assert [np.unique(p.group_ids).size for p in task.parts()] == [1]
    with pytest.raises(InputError, match="--holdout_groups divides"):
        Task.of(run, {"holdout_groups": 0.4}, None, 16)
    with pytest.raises(InputError, match="has no test observations"):
        Task.of(run, {}, "test", 16).parts()


def test_observations_that_do_not_fit(run, make_model, generator):
    model = make_model()
    ids = np.arange(3)
    small = GroupedData.of(np.zeros((3, 2, 2, 1), np.uint8), ids)
    with pytest.raises(InputError, match=r"\[N, 4, 4, 1\]"):
        encoding.encode(model, [small])
    large = GroupedData.of(np.full((3, 4, 4, 1), 2, np.float32), ids)
    with pytest.raises(InputError, match="got values from 2 to 2"):
        encoding.encode(model, [large])


def test_a_run_without_its_model(run, tmp_path):
    shutil.copy(run / "config.json", tmp_path)
    with pytest.raises(InputError, match=r"model\.keras is missing"):
        Task.of(tmp_path, {}, None, 16).load_model()
