import shutil

import keras
import numpy as np
import pytest
import reference
from scripts import assert_fails, script

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.fingerprint import fingerprint
from mlvae_tf.runs import workdir
from mlvae_tf.runs.encoding import Task
from mlvae_tf.store import encoding
from mlvae_tf.store.layout import Layout
from mlvae_tf.store.table import ContentStore
from mlvae_tf.store.tables import LevelStores


@pytest.fixture(scope="module")
def run(make_run):
    """One that was trained on 30 of its 50 observations."""
    folder = make_run(["ann", "bob", "cy"])
    (part,) = Task.of(folder, {}, None, 16).parts()
    workdir.remember_trained(folder, part.keys[:30])
    return folder


def encode(run, output, *arguments):
    """The store that the script writes, and what it says before."""
    process = script(
        "encode.py", f"--workdir={run}", f"--output={output}", *arguments
    )
    assert process.returncode == 0, process.stderr
    *notes, last = process.stdout.splitlines()
    store = ContentStore.load(output)
    count, groups = store.counts.sum(), len(store)
    assert last == f"{count} observations, {groups} groups: {output}"
    return store, notes


def encoded(model, parts, batch_size=1024):
    """The one table of a model of one level."""
    return encoding.encode(model, parts, batch_size).tables["content"]


def alone(table):
    return LevelStores({"content": table}, {})


def save(path, run, rows):
    """An npz of some of a run's observations; its SPEC."""
    with np.load(run / "data.npz") as data:
        np.savez(path, **{name: data[name][rows] for name in data})
    return f"npz:{path}"


def parts_of(run, spec):
    return Task.of(run, {"dataset": spec}, None, 16).parts()


def assert_equal(left, right, rtol=1e-12):
    assert left.groups.tolist() == right.groups.tolist()
    assert left.counts.tolist() == right.counts.tolist()
    assert left.keys.tolist() == right.keys.tolist()
    assert (left.rule, left.fingerprint) == (right.rule, right.fingerprint)
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
        store = encoded(model, parts, batch_size)
        assert store.groups.tolist() == sorted(groups)
        for group, count in zip(store.groups, store.counts):
            assert count == np.sum(ids == group)
        actual = store.posterior()
        for a, b in zip(actual, (expected_loc, expected_scale)):
            np.testing.assert_allclose(a, b[order], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_script(run, tmp_path):
    """Update equals all at once; what is added can be taken back; merge."""
    paths = {
        name: tmp_path / f"{name}.parquet"
        for name in ("whole", "train", "both", "back", "merged", "twice")
    }
    whole, notes = encode(run, paths["whole"])
    assert whole.counts.sum() == 50
    assert not notes
    some, notes = encode(run, paths["train"], "--split=train")
    assert some.counts.sum() == 30
    assert "30 observations of 3 groups to learn from" in notes[0]
    rest, update = "--split=validation", f"--update={paths['train']}"
    updated, _ = encode(run, paths["both"], update, rest)
    assert_equal(updated, whole)
    update = f"--update={paths['both']}"
    back, _ = encode(run, paths["back"], update, "--remove", rest)
    assert_equal(back, some)
    process = script(
        "encode.py",
        f"--merge={paths['train']},{paths['both']}",
        f"--output={paths['merged']}",
    )
    assert_fails(process, "30 of 50 observations", "'ann', 'bob', 'cy'")
    process = script(
        "encode.py",
        f"--merge={paths['train']},{paths['both']}",
        f"--output={paths['twice']}",
        "--stored=add",
    )
    assert process.returncode == 0, process.stderr
    twice = ContentStore.load(paths["twice"])
    assert_equal(twice, some.merge(whole, twice=True))


@pytest.mark.slow
def test_the_same_photographs_again(run, tmp_path):
    """Some are encoded; then four have come, and all lie elsewhere.

    One of them is a copy of an old one.
    """
    path = tmp_path / "some.parquet"
    some, notes = encode(
        run, path, f"--dataset={save(tmp_path / 'a.npz', run, slice(47))}"
    )
    assert (some.counts.sum(), notes) == (47, [])
    order = np.append(np.random.default_rng(0).permutation(50), 0)
    moved = f"--dataset={save(tmp_path / 'deep.npz', run, order)}"
    again = f"--update={path}", moved
    output = tmp_path / "all.parquet"
    process = script(
        "encode.py", f"--workdir={run}", f"--output={output}", *again
    )
    assert_fails(
        process,
        "47 of 51 observations are in the store already, of groups 'ann', "
        "'bob', 'cy'",
        "--stored=skip",
        "--stored=add",
    )
    assert not output.exists()
    skipped, notes = encode(run, output, *again, "--stored=skip")
    assert notes == ["4 of 51 observations are new"]
    model = Task.of(run, {}, None, 16).load_model()
    parts = parts_of(run, moved.removeprefix("--dataset="))
    assert_equal(skipped, encoded(model, parts))
    path = tmp_path / "none.parquet"
    none, notes = encode(
        run, path, f"--update={output}", moved, "--stored=skip"
    )
    assert notes == ["0 of 51 observations are new"]
    assert_equal(none, skipped, rtol=0)


def test_copies_within_a_dataset_count(run, tmp_path):
    """Also those of which the store has one: only the others are new."""
    model = Task.of(run, {}, None, 16).load_model()
    once = parts_of(run, save(tmp_path / "a.npz", run, [0, 1, 2]))
    copies = parts_of(run, save(tmp_path / "b.npz", run, [1, 0, 1, 3, 1]))
    stored = encoded(model, once)
    (left,) = encoding.without_held(alone(stored), copies)
    assert len(left) == 3
    together = stored.merge(encoded(model, [left]), twice=True)
    whole = parts_of(run, save(tmp_path / "c.npz", run, [0, 1, 1, 1, 2, 3]))
    assert_equal(together, encoded(model, whole))
    # Over parts that share them, too: one dataset's splits.
    assert_equal(encoded(model, [*once, left]), encoded(model, whole))
    assert not encoding.without_held(alone(together), [*once, left])


def test_only_what_is_in_it_is_taken_out(run, tmp_path):
    """Noticed before anything is encoded."""
    task = Task.of(run, {}, None, 16)
    (part,), model = task.parts(), task.load_model()
    likelihood = model.codec.likelihood
    stored = encoding.encode(model, [part[:40]])
    encoding.check_held(stored, [part[5:20], part[30:40]], likelihood)
    with pytest.raises(InputError, match="2 of 27 observations are not"):
        encoding.check_held(stored, [part[5:20], part[30:42]], likelihood)
    rest = stored.remove(encoding.encode(model, [part[5:40]]))
    expected = encoded(model, [part[:5]])
    assert_equal(rest.tables["content"], expected, rtol=1e-6)


def test_what_is_unknown_was_never_in_it(make_model, generator):
    model = make_model(missing_values=True)
    images = generator.uniform(size=(6, 4, 4, 1)).astype(np.float32)
    images[[1, 4]] = np.nan
    data = GroupedData.of(images, np.array(list("ababab")))
    likelihood = model.codec.likelihood
    stored = encoded(model, [data])
    assert stored.counts.tolist() == [2, 2]
    encoding.check_held(alone(stored), [data], likelihood)
    assert not len(stored.remove(encoded(model, [data])))
    stored = encoded(model, [data[:3]])
    with pytest.raises(InputError, match="are not in the store"):
        encoding.check_held(alone(stored), [data], likelihood)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workdir=x"], ["--output=PATH is required"]),
        (["{out}"], ["--workdir=DIR is required"]),
        (["--output={here}/old.csv"], ["exists already", "--overwrite"]),
        (["--output={here}"], ["must end in .parquet, .csv or .csv.gz"]),
        (["--output={here}/a.txt"], ["must end in .parquet", "a.txt"]),
        (["--output=/proc/no/a.csv"], ["/proc/no cannot be written to"]),
        (["{out}", "--remove"], ["pass --update=PATH"]),
        (["{out}", "--", "--runner=X"], ["--runner=X", "--beam"]),
        (["{out}", "stray"], ["unexpected argument 'stray'"]),
        (["{out}", "--merge=a", "--beam"], ["--merge encodes"]),
        (["{out}", "--stored=skip"], ["pass --update=PATH or --merge"]),
        (
            ["{out}", "--update=a", "--remove", "--stored=add"],
            ["without --remove"],
        ),
        (["{out}", "--merge=a,b", "--stored=skip"], ["holds sums of them"]),
        (
            ["{out}", "--per_observation", "--update=a"],
            ["--per_observation makes no store", "or --update"],
        ),
        (["{out}", "--per_observation", "--merge=a,b"], ["or --merge"]),
        (["{out}", "--per_observation", "--remove"], ["or --remove"]),
        (["{out}", "--per_observation", "--beam"], ["or --beam"]),
        (
            ["{out}", "--merge={here}/old.parquet,{here}/no"],
            ["old.parquet is damaged, or no Parquet table"],
        ),
        (["{out}", "--update={here}/no"], ["no such table"]),
        (["{out}", "--update={here}/old.csv"], ["old.csv is CSV"]),
        (["{out}", "--merge={here}/old.csv"], ["old.csv is CSV"]),
    ],
)
def test_mistakes(arguments, words, run, tmp_path):
    old = {"old.csv", "old.parquet"}
    for name in old:
        (tmp_path / name).write_bytes(b"old")
    output = f"--output={tmp_path}/a.parquet"
    arguments = [v.format(here=tmp_path, out=output) for v in arguments]
    if words != ["--workdir=DIR is required"]:
        arguments.insert(0, f"--workdir={run}")
    assert_fails(script("encode.py", *arguments), *words)
    assert {path.name for path in tmp_path.iterdir()} == old
    assert all((tmp_path / name).read_bytes() == b"old" for name in old)


def test_another_model_and_other_ids_are_refused(make_run, run):
    task = Task.of(run, {}, None, 16)
    model, parts = task.load_model(), task.parts()
    stored = encoding.encode(model, parts)
    stored.check_adds_up(Layout.of(model), parts)
    numbered = [GroupedData.of(parts[0].observations, np.arange(len(parts[0])))]
    with pytest.raises(InputError, match="strings: got integers"):
        stored.check_adds_up(Layout.of(model), numbered)
    other = make_run(["ann"], seed=1)
    with pytest.raises(InputError, match="the store is of model"):
        stored.check_adds_up(Layout.of(workdir.load_model(other)), parts)


def test_the_fingerprint_is_that_of_the_content(make_model):
    model = make_model()
    before = fingerprint(model)
    assert fingerprint(make_model(activation="relu")) != before
    for layer in (model.decoder, model.style_head):
        layer.weights[0].assign_add(0 * layer.weights[0] + 1)
        assert fingerprint(model) == before
    for layer in (model.encoder, model.content_head):
        layer.weights[0].assign_add(0 * layer.weights[0] + 1)
        assert fingerprint(model) != before
        before = fingerprint(model)


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
        fingerprint(make_model(**settings))
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
    whole = encoded(model, [GroupedData.of(images, ids)], 4)
    some = GroupedData.of(images[known], ids[known])
    assert_equal(whole, encoded(model, [some], 4))
    assert whole.groups.tolist() == ["a", "b", "c"]
    assert whole.counts.tolist() == [3, 2, 1]
    groups, content = model.infer_content(images, ids)
    order = [groups.tolist().index(group) for group in "abc"]
    loc, scale = whole.posterior()
    np.testing.assert_allclose(loc, content.loc.numpy()[order], rtol=1e-6)
    np.testing.assert_allclose(scale, content.scale.numpy()[order], rtol=1e-6)


def test_eight_bits_are_what_the_likelihood_says(make_model, generator):
    counts = generator.integers(0, 256, (9, 4, 4, 1), np.uint8)
    ids, keys = np.arange(9) % 2, np.arange(9, dtype=np.uint64)
    model = make_model(likelihood="poisson")
    stored, real = (
        encoded(model, [GroupedData.of(values, ids, keys)], 4)
        for values in (counts, counts.astype(np.float32))
    )
    assert_equal(stored, real)


def test_averages_are_refused(make_run):
    folder = make_run(["a"], accumulation="average")
    with pytest.raises(InputError, match="product_with_prior: got average"):
        Task.of(folder, {}, None, 16).load_model()


def test_what_is_encoded(run):
    data = parts_of(run, f"npz:{run / 'data.npz'}")[0]
    for split, rows in (("train", slice(30)), ("validation", slice(30, 50))):
        parts, _ = Task.of(run, {}, split, 16).open()
        (part,) = parts
        assert part.rows.tolist() == np.arange(50)[rows].tolist()
        assert part.data.keys.tolist() == data.keys[rows].tolist()
        np.testing.assert_array_equal(
            part.data.observations, data.observations[rows]
        )
    with pytest.raises(InputError, match="--holdout_groups divides"):
        Task.of(run, {"holdout_groups": 0.4}, None, 16)
    with pytest.raises(InputError, match="has no test observations"):
        Task.of(run, {}, "test", 16).parts()


def test_observations_that_do_not_fit(run, make_model, generator):
    model = make_model()
    ids = np.arange(3)
    small = GroupedData.of(np.zeros((3, 2, 2, 1), np.uint8), ids)
    with pytest.raises(InputError, match=r"\[N, 4, 4, 1\]"):
        encoded(model, [small])
    large = GroupedData.of(np.full((3, 4, 4, 1), 2, np.float32), ids)
    with pytest.raises(InputError, match="got values from 2 to 2"):
        encoded(model, [large])


def test_a_run_without_its_model(run, tmp_path):
    shutil.copy(run / "config.json", tmp_path)
    with pytest.raises(InputError, match=r"model\.keras is missing"):
        Task.of(tmp_path, {}, None, 16).load_model()
