"""What TensorBoard shows besides the course of a run, asked of its server."""

import json
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image
from tensorboard import program

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.runs import board
from mlvae_tf.runs.config import Config
from tests.test_callbacks import events


@pytest.fixture
def data(generator):
    images = generator.uniform(size=(10, 4, 4, 1)).astype(np.float32)
    return GroupedData.of(images, np.array(list("ab\tba") * 2))


def test_settings_are_text_and_what_was_changed_hparams(tmp_path):
    config = Config().replace({"hidden_units": (30, 20), "seed": 3})
    board.write_settings(tmp_path, config)
    found = events(tmp_path)
    (text,) = np.ravel(found["configuration"][0][1])
    assert b"| hidden_units | 30,20 |" in text
    assert b"| dataset | mnist_5k |" in text
    tags = [tag for tag in found if tag.startswith("_hparams_")]
    assert tags


def test_embeddings_have_names_and_thumbnails(tmp_path, make_model, data):
    model = make_model(dtype="float32")
    board.write_embeddings(tmp_path, model, data, seed=0)
    content, style = model.infer_observations(data.values())
    folder = tmp_path / "projector"
    for name, latent in (("content", content), ("style", style)):
        points = np.loadtxt(folder / f"{name}.tsv", delimiter="\t")
        np.testing.assert_allclose(points, latent.loc.numpy(), rtol=1e-4)
    names = (folder / "groups.tsv").read_text().splitlines()
    assert names == ["a", "b", "\\t", "b", "a"] * 2
    sprite = np.asarray(Image.open(folder / "images.png"))
    assert sprite.shape == (16, 16, 3)
    fifth = (data.values()[5, ..., 0] * 255).astype(np.uint8)
    np.testing.assert_array_equal(sprite[4:8, 4:8, 0], fifth)
    text = (tmp_path / "projector_config.pbtxt").read_text()
    assert text.count("single_image_dim: 4 single_image_dim: 4") == 2


def test_of_several_levels_all_are_embedded(tmp_path, make_model, generator):
    model = make_model(
        observation_shape=(5,),
        levels={"person": 3, "light": 2},
        style_dim=0,
        dtype="float32",
    )
    values = generator.uniform(size=(12, 5)).astype(np.float32)
    people, lights = np.divmod(np.arange(12), 4)
    data = GroupedData.of(values, {"person": people, "light": lights})
    board.write_embeddings(tmp_path, model, data, seed=0)
    folder = tmp_path / "projector"
    assert {path.name for path in folder.iterdir()} == {
        "person.tsv",
        "light.tsv",
        "groups.tsv",
    }
    names = (folder / "groups.tsv").read_text().splitlines()
    assert names[:3] == ["person\tlight", "0\t0", "0\t1"]


def ask(url, path, **query):
    text = urllib.parse.urlencode(query)
    address = f"{url}data/plugin/{path}?{text}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read()


@pytest.mark.slow
def test_the_server_shows_them(tmp_path, make_model, data):
    model = make_model(dtype="float32")
    board.write_settings(tmp_path, Config().replace({"steps": 7}))
    board.write_embeddings(tmp_path, model, data, seed=0)
    server = program.TensorBoard()
    server.configure(
        [None, f"--logdir={tmp_path}", "--port=0", "--load_fast=false"]
    )
    url = server.launch()
    runs = json.loads(ask(url, "projector/runs"))
    assert runs == ["."]
    info = json.loads(ask(url, "projector/info", run="."))
    shapes = {one["tensorName"]: one for one in info["embeddings"]}
    assert set(shapes) == {"content", "style"}
    tensor = ask(url, "projector/tensor", run=".", name="content")
    points = np.frombuffer(tensor, np.float32).reshape(10, 3)
    expected = np.loadtxt(tmp_path / "projector/content.tsv", delimiter="\t")
    np.testing.assert_allclose(points, expected, rtol=1e-6)
    names = ask(url, "projector/metadata", run=".", name="style").decode()
    assert names == (tmp_path / "projector/groups.tsv").read_text()
    picture = ask(url, "projector/sprite_image", run=".", name="style")
    assert picture[:4] == b"\x89PNG"
    texts = json.loads(ask(url, "text/text", run=".", tag="configuration"))
    assert "<td>mnist_5k</td>" in texts[0]["text"]
    groups = urllib.request.Request(
        f"{url}data/plugin/hparams/session_groups",
        json.dumps(
            {
                "experimentName": "",
                "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_RUNNING"],
                "colParams": [],
                "startIndex": 0,
                "sliceSize": 9,
            }
        ).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(groups, timeout=60) as answer:
        (group,) = json.load(answer)["sessionGroups"]
    assert group["hparams"]["steps"] == 7
