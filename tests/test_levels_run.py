"""A run of several levels, as a user trains and measures it."""

import json

import keras
import numpy as np
import pyarrow.parquet
import pytest
from scripts import assert_fails, script

import mlvae_tf
from mlvae_tf.runs import identification, several
from mlvae_tf.runs.config import Config
from mlvae_tf.store.tables import LevelStores
from tests.test_callbacks import events

TINY = [
    "--hidden_units=16",
    "--content_dim=3",
    "--level_dims=light:2",
    "--style_dim=2",
    "--style_flow=2",
    "--steps=8",
]


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """12 people under 6 lights, twice."""
    generator = np.random.default_rng(0)
    people, lights = np.divmod(np.arange(144) // 2, 6)
    one, other = generator.normal(size=(12, 5)), generator.normal(size=(6, 5))
    noise = generator.normal(size=(144, 5))
    path = tmp_path_factory.mktemp("data") / "crossed.npz"
    np.savez(
        path,
        observations=one[people] + other[lights] + 0.1 * noise,
        person=people.astype(str),
        light=lights,
        group=lights,
        each=np.arange(144),
        hole=np.where(np.arange(144) % 9, lights, -1),
        visit=lights // 2,
    )
    return path


@pytest.fixture(scope="module")
def run(crossed, tmp_path_factory):
    """What `train.py` printed, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    process = script(
        "train.py",
        f"--dataset=npz:{crossed}",
        "--groups=person,light",
        f"--workdir={folder}",
        *TINY,
    )
    assert process.returncode == 0, process.stderr
    return process, folder


def test_a_training_says_what_the_ids_can_tell_and_what_is_left_out(run):
    process, folder = run
    assert "person x light" in process.stdout
    assert "person_kl" in process.stderr
    assert "Warning" not in process.stderr
    assert "failed" not in process.stderr
    assert "doubt, at the end: the training had 8 steps" in process.stdout
    tags = events(folder / "logs")
    assert {"pictures/swap/person", "pictures/swap/light"} <= tags.keys()
    assert "accuracy/person/light" in tags
    model = keras.saving.load_model(folder / "model.keras")
    dims = {level.name: level.dim for level in model.levels}
    assert dims == {"person": 3, "light": 2}
    record = json.loads((folder / "config.json").read_text())
    assert record["data"]["groups"] == ["person", "light"]
    assets = folder / "export" / "1" / "assets" / "model.json"
    described = {
        level["name"]: level["num_groups"]
        for level in json.loads(assets.read_text())["levels"]
    }
    assert described == {"person": 12, "light": 6}


@pytest.mark.slow
def test_it_is_resumed(run, crossed):
    _, folder = run
    process = script("train.py", f"--workdir={folder}", "--resume")
    assert process.returncode == 0, process.stderr
    assert "resuming at step 8 of 8" in process.stdout


def test_a_row_an_observation_has_all_levels(run, crossed, tmp_path):
    _, folder = run
    output = tmp_path / "rows.parquet"
    process = script(
        "encode.py",
        f"--workdir={folder}",
        f"--output={output}",
        "--per_observation",
    )
    assert process.returncode == 0, process.stderr
    rows = pyarrow.parquet.read_table(output)
    assert rows.column_names == [
        *("row", "person", "light"),
        *("person_loc", "person_scale", "light_loc", "light_scale"),
        *("style_loc", "style_scale"),
    ]
    model = keras.saving.load_model(folder / "model.keras")
    with np.load(crossed) as arrays:
        assert rows["person"].to_pylist() == arrays["person"].tolist()
        assert rows["light"].to_pylist() == arrays["light"].tolist()
        values = arrays["observations"].astype(np.float32)
    contents, _ = model.infer_observations(values)
    found = np.array(rows["light_loc"].to_pylist())
    np.testing.assert_allclose(found, contents["light"].loc, rtol=1e-4)


def test_what_cannot_be_learned_is_refused(crossed, tmp_path):
    spec = f"--dataset=npz:{crossed}"
    for flags, words in (
        (["--groups=light,group"], "have the same groups"),
        (["--groups=person,each"], "groups of each must share observations"),
        (["--groups=person,hole"], "16 of 144 ids of hole are not known"),
        (["--groups=person,light,visit", "--parents=x:person"], "name levels"),
        (["--groups=person,light", "--mirror_groups"], "not there yet"),
        (["--groups=person,light", "--level_dims=x:3"], "must name levels"),
        (["--groups=person", "--parents=light:person"], "is for several"),
        (["--groups=person,visit", "--parents=a:b"], "must name levels"),
    ):
        folder = f"--workdir={tmp_path}/run"
        assert_fails(script("train.py", spec, folder, *flags), words)


@pytest.mark.slow
def test_nested_levels_and_ids_that_are_not_known(crossed, tmp_path):
    process = script(
        "train.py",
        f"--dataset=npz:{crossed}",
        "--groups=visit,person,hole",
        "--parents=visit:person",
        "--missing_groups=own",
        "--style_dim=0",
        f"--workdir={tmp_path}",
        "--style_flow=0",
        *(flag for flag in TINY if "style" not in flag and "level" not in flag),
    )
    assert process.returncode == 0, process.stderr
    assert "visit in person" in process.stdout
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert [level.parent for level in model.levels] == ["person", None, None]


def test_the_settings_in_python(crossed):
    arrays = np.load(crossed)
    ids = {"person": arrays["person"], "light": arrays["light"]}
    model, fitting, _ = mlvae_tf.prepare(
        arrays["observations"], ids, steps=4, level_dims=("light:2",)
    )
    assert {level.name: level.dim for level in model.levels} == {
        "person": 5,
        "light": 2,
    }
    history = model.fit(**fitting, verbose=0).history
    assert np.isfinite(history["light_kl"]).all()
    nested = {"person": arrays["person"], "visit": arrays["visit"]}
    model, fitting, _ = mlvae_tf.prepare(
        arrays["observations"], nested, parents={"visit": "person"}, steps=2
    )
    assert model.levels[1].parent == "person"
    (batch,) = fitting["x"].take(1)
    pairs = np.stack([of.numpy() for of in batch["group_ids"].values()], 1)
    visits = np.unique(pairs[:, 1])
    assert len(np.unique(pairs, axis=0)) == len(visits)
    with pytest.raises(mlvae_tf.InputError, match="16 of 144 ids of hole"):
        mlvae_tf.prepare(
            arrays["observations"], {**ids, "hole": arrays["hole"]}
        )
    with pytest.raises(mlvae_tf.InputError, match="have the same groups"):
        mlvae_tf.prepare(
            arrays["observations"], {**ids, "group": arrays["group"]}
        )


def test_one_level_is_what_it_was():
    several.check(Config().replace({"groups": ("person",)}))
    with pytest.raises(mlvae_tf.InputError, match="--level_dims is for sev"):
        several.check(Config().replace({"level_dims": ("person:3",)}))


@pytest.mark.slow
def test_evaluation_says_what_each_latent_tells(run):
    _, folder = run
    process = script("evaluate.py", f"--workdir={folder}")
    assert process.returncode == 0, process.stderr
    assert "person told by the content of light" in process.stdout
    assert "swap of light, person is kept" in process.stdout
    text = (folder / "evaluation" / "metrics.json").read_text()
    metrics = json.loads(text)
    assert set(metrics["levels"]) == {"person", "light"}
    assert metrics["importance_groups"] == 12
    assert np.isfinite(metrics["importance_weighted_bound"])
    light = metrics["levels"]["light"]
    assert set(light["told_by"]) == {"person"}
    assert set(light["content_accuracy"]) == {"1", "2", "3", "5", "all"}
    assert metrics["intervals"]["levels"]["light"]["calibration"].keys()
    assert 0 <= light["style_accuracy"] <= 1
    assert set(light["swap"]["content_group"]) == {"1", "2", "3", "5", "all"}
    assert set(light["swap"]["kept"]) == {"person"}
    page = (folder / "evaluation" / "report.html").read_text()
    assert "Level light" in page
    assert "Of person, a probe names the group right in" in page
    for name in ("swap", "accuracy", "calibration", "confusion", "map"):
        assert (folder / "evaluation" / f"{name}_of_person.png").exists()
    assert_fails(
        script("evaluate.py", f"--workdir={folder}", "--groups=person"),
        "the model has the levels person, light, the data content",
    )


@pytest.fixture(scope="module")
def stored(run, tmp_path_factory):
    """The run's flag, and the folder of its data's tables."""
    _, folder = run
    run_of = f"--workdir={folder}"
    output = tmp_path_factory.mktemp("stored") / "stores"
    process = script("encode.py", run_of, f"--output={output}")
    assert process.returncode == 0, process.stderr
    assert "person: 144 observations, 12 groups" in process.stdout
    return run_of, output


@pytest.mark.slow
def test_encoding_leaves_a_table_for_every_level(run, crossed, stored):
    _, output = stored
    model = keras.saving.load_model(run[1] / "model.keras")
    with np.load(crossed) as arrays:
        ids = {name: arrays[name] for name in ("person", "light")}
        contents = model.infer_content(
            arrays["observations"].astype(np.float32), ids
        )
    found = LevelStores.load(output).posteriors()["light"]
    groups, content = contents["light"]
    order = np.argsort(groups)
    np.testing.assert_allclose(found.loc, content.loc.numpy()[order], rtol=1e-4)


@pytest.mark.slow
def test_who_it_is_is_asked_of_a_level(run, crossed, stored):
    _, folder = run
    run_of, output = stored
    model = keras.saving.load_model(folder / "model.keras")
    asked = (
        *(run_of, f"--store={output}", f"--dataset=npz:{crossed}"),
        "--groups=person,light",
    )
    answers = script("identify.py", *asked, "--level=light")
    assert answers.returncode == 0, answers.stderr
    assert "compared by" in answers.stderr
    by = identification.load(folder, model, "light").comparison
    with np.load(crossed) as arrays:
        values = arrays["observations"].astype(np.float32)
    table = LevelStores.load(output).tables["light"]
    expected = table.identify(model, values, by, level="light")
    rows = [line.split(",") for line in answers.stdout.splitlines()[1:]]
    named = [row[1] for row in rows if row[1] != "unknown"]
    told = [row[1] != "unknown" for row in rows]
    assert len(rows) == len(values)
    assert named == expected.groups[told, 0].astype(str).tolist()
    assert_fails(
        script("identify.py", *asked),
        "level must be one that observations tell of, person, light: got none",
    )


@pytest.mark.slow
def test_tables_of_levels_take_out_and_join(stored, tmp_path):
    run_of, output = stored
    again, update = f"--output={tmp_path / 'more'}", f"--update={output}"
    assert_fails(
        script("encode.py", run_of, again, update), "--stored=add to count"
    )
    process = script("encode.py", run_of, again, update, "--remove")
    assert process.returncode == 0, process.stderr
    assert "light: 0 observations, 0 groups" in process.stdout
    twice = f"--output={tmp_path / 'twice'}"
    merge = f"--merge={output},{output}"
    process = script("encode.py", merge, twice, "--stored=add")
    assert "person: 288 observations, 12 groups" in process.stdout
    process = script("encode.py", run_of, again, update, "--stored=skip")
    assert_fails(process, "exists already. Pass --overwrite")


@pytest.mark.slow
def test_beam_encodes_what_is_new_on_levels(crossed, stored, tmp_path):
    run_of, output = stored
    beam = ("--beam", "--", "--direct_running_mode=multi_threading")
    less, some = f"npz:{tmp_path / 'less.npz'}", tmp_path / "some"
    with np.load(crossed) as arrays:
        np.savez(less[4:], **{name: arrays[name][:140] for name in arrays})
    process = script(
        "encode.py", run_of, f"--output={some}", f"--dataset={less}", *beam
    )
    assert process.stdout.startswith("person: 140 observations, 12 groups")
    whole = tmp_path / "whole"
    process = script(
        *("encode.py", run_of, f"--output={whole}", f"--update={some}"),
        *("--stored=skip", *beam),
    )
    assert process.stdout.startswith(
        "4 of 144 observations are new\nperson: 144"
    )
    by_beam = LevelStores.load(whole).posteriors()
    for name, posterior in LevelStores.load(output).posteriors().items():
        for one, other in zip(by_beam[name][1:], posterior[1:]):
            np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.slow
def test_mistakes_about_tables_of_levels(stored, tmp_path):
    run_of, output = stored
    for arguments, words in (
        ([f"--output={output}"], "exists already. Pass --overwrite"),
        ([f"--output={output}.parquet"], "Name a folder"),
        (
            [f"--output={tmp_path / 'one'}", "--groups=person"],
            "the model has the levels person, light, the data content",
        ),
    ):
        assert_fails(script("encode.py", run_of, *arguments), words)
