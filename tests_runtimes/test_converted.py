"""Converted models: OpenVINO, ONNX and LiteRT, each on one row of the table.

What a runtime does not take, and why, says docs/serving.md.
"""

import sys

import onnxruntime
import openvino
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tf2onnx import convert

BY_ROW = ["encode", "decode"]
MORE = ["swap", "identify"]  # Of numbers alone, and of no random rounding.


@pytest.fixture(scope="module")
def loaded(exported):
    """By name, the SavedModels as TensorFlow has them."""
    return {
        name: tf.saved_model.load(str(model.folder))
        for name, model in exported.items()
    }


def openvinos(loaded, model, name):
    function = loaded.signatures[name]
    converted = openvino.convert_model(function)
    # On processors with bfloat16 it would compute in that.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(converted, "CPU", settings)
    answer = compiled(model.requests[name])
    return {
        output.get_any_name(): answer[output] for output in compiled.outputs
    }


def onnxs(folder, model, name, monkeypatch):
    path = folder / f"{name}.onnx"
    command = "--saved-model", model.folder, "--signature_def", name
    arguments = (*command, "--tag", "serve", "--output", path)
    monkeypatch.setattr(sys, "argv", ["tf2onnx", *map(str, arguments)])
    convert.main()
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, model.requests[name])))


@pytest.mark.parametrize("name", BY_ROW + MORE)
def test_openvino(name, exported, loaded):
    grey = exported["grey"]
    grey.assert_answers(name, openvinos(loaded["grey"], grey, name))


@pytest.mark.parametrize("name", BY_ROW + MORE)
def test_onnx(name, exported, tmp_path, monkeypatch):
    grey = exported["grey"]
    grey.assert_answers(name, onnxs(tmp_path, grey, name, monkeypatch))


@pytest.mark.parametrize("name", BY_ROW)
def test_levels_and_convolutions(name, exported, loaded, tmp_path, monkeypatch):
    model = exported["levels"]
    model.assert_answers(name, openvinos(loaded["levels"], model, name))
    model.assert_answers(name, onnxs(tmp_path, model, name, monkeypatch))


@pytest.mark.parametrize("name", BY_ROW)
def test_litert(name, model):
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(model.folder), signature_keys=[name]
    )
    interpreter = Interpreter(model_content=converter.convert())
    run = interpreter.get_signature_runner(name)
    model.assert_answers(name, run(**model.requests[name]))
