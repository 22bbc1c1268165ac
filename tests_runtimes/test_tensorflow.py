"""TensorFlow alone: its own command, and a process without Keras."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from tensorflow.python.tools import saved_model_cli

# Reads requests, and saves what every signature answers.
WITHOUT_KERAS = """
    import sys

    others = "keras", "tf_keras", "tensorflow_probability", "mlvae_tf"
    sys.modules.update(dict.fromkeys(others))  # No import finds them.
    import numpy as np
    import tensorflow as tf

    folder, requests, answers = sys.argv[1:]
    served = tf.saved_model.load(folder).signatures
    given = {}
    for place, value in np.load(requests).items():
        name, key = place.split("/")
        given.setdefault(name, {})[key] = tf.constant(value)
    assert set(served) == {*given, "serving_default"}
    found = {name: served[name](**of) for name, of in given.items()}
    assert not any(sys.modules[name] for name in others)
    np.savez(answers, **{
        f"{name}/{key}": value.numpy().astype(bytes)
        if value.dtype == tf.string else value.numpy()
        for name, of in found.items() for key, value in of.items()
    })
"""


def test_a_process_without_keras(model, tmp_path):
    paths = (
        model.folder,
        model.folder.parent / "requests.npz",
        tmp_path / "answers.npz",
    )
    code = textwrap.dedent(WITHOUT_KERAS)
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
    found = model._load(tmp_path / "answers.npz")
    assert found.keys() == model.answers.keys()
    for name, answer in found.items():
        model.assert_answers(name, answer)


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["saved_model_cli", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        saved_model_cli.main()
    assert not ended.value.code


def test_saved_model_cli_shows_every_signature(model, monkeypatch, capsys):
    command(monkeypatch, "show", "--dir", model.folder, "--all")
    said = capsys.readouterr().out
    assert "signature_def['serving_default']" in said
    for name, inputs in model.requests.items():
        part = said.partition(f"signature_def['{name}']")[2]
        part = part.partition("signature_def[")[0]
        for key in (*inputs, *model.answers[name]):
            assert f"['{key}'] tensor_info" in part


def test_saved_model_cli_runs_every_signature(model, monkeypatch, tmp_path):
    assert "encode_images" in model.requests
    for name, inputs in model.requests.items():
        np.savez(tmp_path / "in.npz", **inputs)
        given = ";".join(
            f"{key}={tmp_path / 'in.npz'}[{key}]" for key in inputs
        )
        place = tmp_path / name
        command(
            monkeypatch,
            *("run", "--dir", model.folder, "--tag_set", "serve"),
            *("--signature_def", name, "--inputs", given, "--outdir", place),
        )
        # What is no number it saves with pickles, which are its own here.
        found = {
            path.stem: np.load(path, allow_pickle=True)
            for path in place.iterdir()
        }
        model.assert_answers(name, found)
