"""identify.py: which groups pictures are of."""

import csv
import dataclasses
import io
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf
from PIL import Image
from scripts import assert_fails, script

from mlvae_tf.comparison import Comparison
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.runs import identification, pictures, workdir
from mlvae_tf.runs.config import TrainingConfig
from mlvae_tf.store import ContentStore, encoding

HEADER = "group,score,second,second_score,third,third_score"
TRAINED = [f"p{i:02d}" for i in range(16)]
STORED, STRANGERS = ["ann", "bob, jr.", "cy"], ["eve", "mallory"]


def photograph(person, number):
    """Of a person of that name: their pattern, in a light of its own."""
    of_person = np.random.default_rng(list(person.encode()))
    generator = np.random.default_rng([number, *person.encode()])
    pixels = of_person.uniform(60, 195, (8, 8)) + generator.normal(0, 8, (8, 8))
    return (pixels + generator.normal(0, 20)).clip(0, 255).astype(np.uint8)


def draw(folder, people, numbers, name="{person}/{number}.png"):
    for person in people:
        for number in numbers:
            path = folder / name.format(person=person, number=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photograph(person, number)).save(path)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A run on some people, a store of three others, and pictures."""
    folder = tmp_path_factory.mktemp("identify")
    draw(folder / "train", TRAINED, range(8))
    draw(folder / "people", STORED, range(4))
    flat = "{person}-{number}.png"
    draw(folder / "asked", STORED, [10, 11], flat)
    draw(folder / "asked" / "strangers", STRANGERS, [10, 11], flat)
    process = script(
        "train.py",
        f"--dataset=folder:{folder / 'train'}",
        f"--workdir={folder / 'run'}",
        *("--likelihood=normal", "--observation_scale=0.1", "--trunk=linear"),
        *("--content_dim=8", "--style_dim=2", "--epochs=2"),
        "--groups_per_batch=8",
    )
    assert process.returncode == 0, process.stderr
    assert "warning" not in process.stderr
    process = script(
        "encode.py",
        f"--workdir={folder / 'run'}",
        f"--dataset=folder:{folder / 'people'}",
        f"--output={folder / 'people.parquet'}",
    )
    assert process.returncode == 0, process.stderr
    return folder


def identify(here, *flags, images="asked"):
    if images:
        flags = *flags, f"--images={here / images}"
    return script(
        "identify.py",
        f"--workdir={here / 'run'}",
        f"--store={here / 'people.parquet'}",
        *flags,
    )


def rows(text):
    return list(csv.reader(io.StringIO(text)))


@pytest.fixture
def known(here):
    """The run's model, what it has learned, and the store."""
    model = workdir.load_model(here / "run")
    store = ContentStore.load(here / "people.parquet")
    return model, identification.load(here / "run", model), store


@pytest.mark.slow
def test_stored_people_are_named_and_strangers_unknown(here, known):
    process = identify(here)
    assert process.returncode == 0, process.stderr
    *said, last = process.stderr.splitlines()
    assert last == "10 observations, 4 of them unknown"
    assert said[0].startswith("compared by ")
    assert "observations of training groups" in said[0]
    header, *answers = rows(process.stdout)
    assert header == ["file", *HEADER.split(",")]
    asked = here / "asked"
    paths = [asked / f"{p}-{n}.png" for p in STORED for n in (10, 11)]
    paths += [
        asked / "strangers" / f"{p}-{n}.png"
        for p in STRANGERS
        for n in (10, 11)
    ]
    assert [row[0] for row in answers] == list(map(str, paths))
    names = [person for person in STORED for _ in range(2)]
    assert [row[1] for row in answers] == names + ["unknown"] * 4
    # As in Python.
    model, found, store = known
    photographs = [
        photograph(p, n)[..., np.newaxis]
        for p in STORED + STRANGERS
        for n in (10, 11)
    ]
    in_python = store.identify(
        model, np.stack(photographs), found.comparison, found.threshold
    )
    for row, groups, scores, is_known in zip(answers, *in_python):
        assert len(set(groups)) == 3
        assert list(scores) == sorted(scores, reverse=True)
        assert is_known == (scores[0] >= found.threshold)
        assert row[3::2] == list(groups[1:])
        assert row[2::2] == [f"{score:.6g}" for score in scores]


@pytest.mark.slow
def test_the_file_is_the_same_and_not_replaced_unasked(here, tmp_path):
    output = tmp_path / "new" / "answers.csv"
    process = identify(here, f"--output={output}")
    assert process.returncode == 0, process.stderr
    said, last = process.stdout.splitlines()
    assert said.startswith("compared by ")
    assert last == f"10 observations, 4 of them unknown: {output}"
    assert process.stderr == ""
    text = output.read_bytes().decode()
    assert text == identify(here).stdout
    assert text.startswith(f"file,{HEADER}\n")
    assert '"bob, jr."' in text
    output.write_text("mine")
    process = identify(here, f"--output={output}")
    assert_fails(process, "exists already", "--overwrite")
    assert output.read_text() == "mine"
    damaged = here / "people.parquet"
    process = identify(
        here,
        f"--output={output}",
        "--overwrite",
        f"--images={damaged}",
        images="",
    )
    assert_fails(process, "people.parquet is no picture")
    assert output.read_text() == "mine"
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    process = identify(here, f"--output={output}", "--overwrite")
    assert process.returncode == 0, process.stderr
    assert output.read_text() == text


@pytest.mark.slow
def test_one_picture(here):
    process = identify(here, images="asked/cy-10.png")
    _, (path, *answer) = rows(process.stdout)
    assert (path, answer[0]) == (str(here / "asked" / "cy-10.png"), "cy")


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "unknown"), [("-inf", 0), ("1e9", 10)])
def test_a_threshold_of_ones_own(here, threshold, unknown):
    process = identify(here, f"--threshold={threshold}")
    assert process.stderr == f"10 observations, {unknown} of them unknown\n"
    named = [row[1] for row in rows(process.stdout)[1:]]
    assert named.count("unknown") == unknown


@pytest.mark.slow
def test_arrays_are_asked_for_by_row(here, tmp_path):
    images = [photograph(p, 12) for p in ("cy", "eve", "ann")]
    np.savez(tmp_path / "a.npz", observations=images, group_ids=[0, 0, 0])
    asked = f"--dataset=npz:{tmp_path / 'a.npz'}"
    process = identify(here, asked, images="")
    assert process.returncode == 0, process.stderr
    header, *answers = rows(process.stdout)
    assert ",".join(header) == f"row,{HEADER}"
    assert [row[:2] for row in answers] == [
        ["0", "cy"],
        ["1", "unknown"],
        ["2", "ann"],
    ]
    # Rows are those of their split, as in encode.py --per_observation.
    split = np.array(["test", "train", "test"])
    np.savez(
        tmp_path / "a.npz", observations=images, group_ids=[0] * 3, split=split
    )
    header, *answers = rows(identify(here, asked, images="").stdout)
    assert ",".join(header) == f"row,split,{HEADER}"
    assert [row[:3] for row in answers] == [
        ["0", "train", "unknown"],
        ["0", "test", "cy"],
        ["1", "test", "ann"],
    ]


@pytest.mark.slow
def test_a_folder_of_groups_is_asked_for_by_file(here):
    process = identify(here, f"--dataset=folder:{here / 'people'}", images="")
    header, *answers = rows(process.stdout)
    assert header[:2] == ["file", "group"]
    paths = [here / "people" / p / f"{n}.png" for p in STORED for n in range(4)]
    assert [row[0] for row in answers] == list(map(str, paths))
    assert [row[1] for row in answers] == [p for p in STORED for _ in range(4)]


@pytest.mark.slow
def test_pictures_of_twelve_bits_in_sixteen_are_as_bright(here, tmp_path):
    for person in ("ann", "cy"):
        pixels = photograph(person, 10).astype(np.uint16) * 16 + 8
        Image.fromarray(pixels).save(tmp_path / f"{person}.png")
    (tmp_path / "people.parquet").symlink_to(here / "people.parquet")
    (tmp_path / "run").symlink_to(here / "run")
    process = identify(tmp_path, images="")
    assert_fails(process, "--images=PATH")
    process = identify(tmp_path, images="ann.png")
    ((_, name, *_),) = rows(process.stdout)[1:]
    assert name == "ann"
    process = identify(
        tmp_path,
        f"--images={tmp_path / 'ann.png'},{tmp_path / 'cy.png'}",
        images="",
    )
    assert [row[1] for row in rows(process.stdout)[1:]] == ["ann", "cy"]


@pytest.mark.slow
def test_colours_and_sizes_are_made_those_of_the_model(here, tmp_path):
    picture = Image.fromarray(photograph("bob, jr.", 10)).convert("RGB")
    picture.resize((32, 32)).save(tmp_path / "large.png")
    process = identify(here, f"--images={tmp_path}", images="")
    assert rows(process.stdout)[1][1] == "bob, jr."


@pytest.mark.slow
def test_all_damaged_pictures_are_named(here, tmp_path):
    draw(tmp_path, ["ann"], range(2))
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    process = identify(here, f"--images={tmp_path}", images="")
    assert_fails(process, "a.png", "b.jpg", "Repair or leave them out")
    assert process.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--store="], ["--store=PATH is required"]),
        (["--store={here}/no.parquet"], ["no such table"]),
        (["--store={here}/run/config.json"], ["no Parquet table"]),
        (["--images="], ["--images=PATH or --dataset=SPEC, one of the two"]),
        (
            ["--dataset=mnist_5k"],
            ["--images=PATH or --dataset=SPEC, one of the two"],
        ),
        (["--images={here}/no"], ["no such file or folder"]),
        (["--image_size=8"], ["--image_size is for --dataset"]),
        (["--threshold=nan"], ["--threshold must be a number"]),
        (["--output={here}/answers.txt"], ["must end in .csv"]),
        (["--output={here}"], ["must end in .csv"]),
        (["--workdir={here}/no"], ["config.json"]),
        (
            ["--images=", "--dataset=mnist_5k"],
            ["observations must have shape [N, 8, 8, 1]"],
        ),
        (
            ["--images=", "--dataset=mnist_5k", "--holdout_groups=0.5"],
            ["--holdout_groups divides"],
        ),
    ],
)
def test_mistakes(here, flags, words):
    flags = [flag.format(here=here) for flag in flags]
    images = "" if flags[0].startswith("--images") else "asked"
    process = identify(here, *flags, images=images)
    assert_fails(process, *words)
    assert process.stdout == ""


@pytest.mark.slow
def test_a_store_of_another_model(here, make_run, tmp_path):
    other = make_run(["ann"])
    process = script(
        "encode.py", f"--workdir={other}", f"--output={tmp_path / 'a.parquet'}"
    )
    assert process.returncode == 0, process.stderr
    process = identify(here, f"--store={tmp_path / 'a.parquet'}")
    assert_fails(process, "the store is of model", "Encode")


def of_groups(store, rows):
    """The store of some of the groups."""
    kept = np.isin(store.group_index, np.flatnonzero(rows))
    return ContentStore.of(
        store.groups[rows],
        store.counts[rows],
        type(store.evidence)(*(part[rows] for part in store.evidence)),
        store.keys[kept],
        store.rule,
        store.fingerprint,
    )


@pytest.mark.slow
def test_a_store_of_one_or_of_none(here, known, tmp_path):
    *_, store = known
    path = tmp_path / "few.parquet"
    of_groups(store, store.groups == "cy").save(path)
    process = identify(here, f"--store={path}")
    assert process.returncode == 0, process.stderr
    answers = rows(process.stdout)[1:]
    assert [row[1] for row in answers].count("cy") == 2
    assert [row[1] for row in answers].count("unknown") == 8
    assert all(row[3:] == [""] * 4 for row in answers)
    of_groups(store, store.groups == "nobody").save(path)
    process = identify(here, f"--store={path}")
    assert_fails(process, "the store has no groups")
    assert process.stdout == ""


@pytest.fixture
def changed(here, tmp_path):
    """A copy of the run, which may be changed."""
    shutil.copytree(here / "run", tmp_path / "run")
    for name in ("people.parquet", "asked"):
        (tmp_path / name).symlink_to(here / name)
    return tmp_path


@pytest.mark.slow
def test_a_run_that_has_not_learned_it(changed):
    (changed / "run" / "identification.npz").unlink()
    process = identify(changed)
    assert_fails(process, "identification.npz is missing", "--resume")
    assert_fails(process, "--threshold=SCORE")
    # By posteriors.
    process = identify(changed, "--threshold=0", images="asked/ann-10.png")
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
@pytest.mark.slow
def test_resuming_learns_it(changed):
    (changed / "run" / "identification.npz").unlink()
    process = script("train.py", f"--workdir={changed / 'run'}", "--resume")
    assert process.returncode == 0, process.stderr
    assert identify(changed).stdout == identify(changed).stdout != ""


def damage(path, kind):
    """Damage what a run has learned."""
    whole = path.read_bytes()
    with np.load(path) as archive:
        values = dict(archive)
    if kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "npy":
        with open(path, "wb") as file:
            np.save(file, values["content/threshold"])
    elif kind == "lacking":
        del values["content/threshold"]
        np.savez(path, **values)
    elif kind == "shape":
        values["content/way"] = "discriminants"
        values["content/center"] = np.zeros((2, 2))
        np.savez(path, **values)
    else:
        path.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["empty", "cut", "npy", "lacking", "shape"])
def test_what_was_learned_is_damaged(here, known, tmp_path, kind):
    path = shutil.copy(here / "run" / "identification.npz", tmp_path)
    damage(pathlib.Path(path), kind)
    with pytest.raises(InputError, match=r"npz is damaged.*--resume"):
        identification.load(tmp_path, known[0])


@pytest.mark.slow
def test_what_was_learned_is_of_another_model(known, tmp_path):
    model, found, _ = known
    identification.save(tmp_path, {"content": found}, "0123456789abcdef")
    with pytest.raises(InputError, match=r"0123456789abcdef.*--resume"):
        identification.load(tmp_path, model)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["as found", "means"])
def test_what_was_learned_is_kept(known, tmp_path, way):
    model, found, _ = known
    if way == "means":
        found = dataclasses.replace(found, comparison=Comparison("means"))
    identification.save(tmp_path, {"content": found}, known[2].fingerprint)
    again = identification.load(tmp_path, model)
    for name in ("threshold", "rejected", "accepted", "observations", "groups"):
        assert getattr(again, name) == getattr(found, name)
    assert again.comparison.way == found.comparison.way
    assert again.comparison.rule == "product"
    before, after = (x.comparison.discriminants for x in (found, again))
    assert (before is None) == (after is None) == (way == "means")
    if before is not None:
        for left, right in zip(vars(before).values(), vars(after).values()):
            np.testing.assert_array_equal(left, right)
    assert found.observations == 32  # Two of eight photographs are held out.
    assert found.groups == 16


@pytest.mark.slow
def test_a_training_goes_on_without(known, tmp_path, monkeypatch):
    model, _, _ = known

    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(identification.identification, "learn", fail)
    splits = type("Splits", (), {"train": None, "evaluation": None})
    with pytest.warns(UserWarning, match="learning to identify failed: .*out"):
        identification.keep(tmp_path, model, splits, TrainingConfig())
    assert not list(tmp_path.iterdir())


def test_averages_have_no_store_and_learn_nothing(make_model, tmp_path):
    model = make_model(accumulation="average")
    identification.keep(tmp_path, model, None, TrainingConfig())
    assert not list(tmp_path.iterdir())


def store_of(model, observations, ids):
    data = GroupedData.of(observations, ids)
    return encoding.encode(model, [data]).tables["content"]


def test_in_python(make_model, generator):
    """Without a run: by posteriors, and everybody is somebody."""
    model = make_model(dtype="float32")
    images = generator.integers(0, 256, (12, 4, 4, 1), np.uint8)
    store = store_of(model, images, np.repeat([7, 3, 5], 4))
    answers = store.identify(model, images)
    assert answers.groups.shape == answers.scores.shape == (12, 3)
    assert answers.groups.dtype == np.int64
    assert answers.accepted.all()
    # Images and their values are one.
    again = store.identify(model, images.astype(np.float32) / 255, best=1)
    assert (again.groups == answers.groups[:, :1]).all()
    np.testing.assert_allclose(again.scores, answers.scores[:, :1], rtol=1e-4)
    # The threshold is a score that is reached.
    at = np.sort(answers.scores[:, 0])[5]
    assert store.identify(model, images, threshold=at).accepted.sum() == 7
    by_means = store.identify(model, images, Comparison("means"))
    assert (by_means.scores <= 0).all()


def test_bad_input_in_python(make_model, generator):
    model = make_model(dtype="float32")
    images = generator.uniform(size=(4, 4, 4, 1))
    store = store_of(model, images.astype(np.float32), np.arange(4))
    with pytest.raises(InputError, match="must have shape"):
        store.identify(model, images[:, :3])
    with pytest.raises(InputError, match="at least one observation"):
        store.identify(model, images[:0])
    with pytest.raises(InputError, match="NaN or infinite"):
        store.identify(model, np.where(images > 0.9, np.nan, images))
    with pytest.raises(InputError, match="255"):
        store.identify(model, images * 255)
    other = make_model(dtype="float32", seed=2)
    with pytest.raises(InputError, match="the store is of model"):
        store.identify(other, images)


def test_an_observation_that_says_nothing_is_nobodys(make_model, generator):
    model = make_model(dtype="float32", missing_values=True)
    images = generator.uniform(size=(4, 4, 4, 1)).astype(np.float32)
    images[0, :2] = np.nan
    store = store_of(model, images, np.arange(4))
    assert store.identify(model, images).accepted.all()
    images[2] = np.nan
    with pytest.raises(InputError, match=r"1 of 4 .* the first at row 2"):
        store.identify(model, images)


@pytest.mark.slow
def test_the_export_reads_files_as_the_run_did(here, known):
    model, *_ = known
    paths = sorted((here / "asked").rglob("*.png"))
    served = tf.saved_model.load(str(here / "run/export/1")).signatures
    files = tf.constant([path.read_bytes() for path in paths])
    answer = served["encode_images"](images=files)
    pixels = pictures.read(paths, model.observation_shape)
    content, style = model.encode(model.codec.likelihood.values(pixels))
    for name, normal in (("content", content), ("style", style)):
        for part in ("loc", "scale"):
            np.testing.assert_allclose(
                answer[f"{name}_{part}"],
                getattr(normal, part),
                rtol=1e-5,
                atol=1e-5,
            )


@pytest.mark.slow
def test_a_client_of_the_export_says_who_it_is(here, tmp_path):
    """`examples/who.py`, which knows nothing of this package."""
    example = pathlib.Path(__file__).parent.parent / "examples" / "who.py"
    table = tmp_path / "people.parquet"

    def who(*arguments):
        command = [sys.executable, "-S", "-c", ISOLATED, str(example)]
        given = [f"--export={here / 'run/export/1'}"]
        process = subprocess.run(
            [*command, *given, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout.splitlines()

    asked = sorted((here / "asked").glob("*.png"))

    def assert_known(table):
        said = who(f"--people={table}", *asked)
        assert len(said) == 6
        for path, line in zip(asked, said, strict=True):
            person = path.name.rpartition("-")[0]
            assert line.startswith(f"{path}: {person} (")

    # By what encode.py has written.
    assert_known(here / "people.parquet")
    # And by a table of its own.
    before = []
    for person in STORED:
        paths = sorted((here / "people" / person).iterdir())
        for some in (paths[:2], paths[2:]):
            who(*before, f"--add={person}", f"--output={table}", *some)
            before = [f"--people={table}"]
    assert_known(table)
    # The same evidence as the store's.
    store = ContentStore.load(here / "people.parquet")
    found = {
        row["group"]: row["precision"]
        for row in pyarrow.parquet.read_table(table).to_pylist()
    }
    for row, person in enumerate(store.groups.tolist()):
        np.testing.assert_allclose(
            found[person], store.evidence.precision[row], rtol=1e-4
        )


# The example, without the working folder on its path.
ISOLATED = (
    "import runpy, site, sys; site.main(); sys.argv = sys.argv[1:]; "
    "sys.path = [p for p in sys.path if p]; "
    "runpy.run_path(sys.argv[0], run_name='__main__'); "
    "assert 'mlvae_tf' not in sys.modules"
)
