"""Clients by gRPC, with the messages of tensorflow-serving-api."""

import concurrent.futures
import re

import grpc
import numpy as np
import prediction_service
import pytest
import tensorflow as tf
from conftest import ROOT
from tensorflow_serving.apis import prediction_service_pb2_grpc

TEXT = (ROOT / "docs" / "serving.md").read_text()
BATCHED = ["serving_default", "encode", "encode_images", "decode"]


@pytest.fixture(scope="module", params=[None, 0.2], ids=["single", "batching"])
def service(request, exported):
    """The model `grey`, and a stub that asks for it."""
    folder = exported["grey"].folder
    service = prediction_service.PredictionService(
        "photos", folder, request.param
    )
    server, address = prediction_service.serve(service)
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        service.batches.clear()
        service.address = address
        yield service, stub
    server.stop(None).wait()


def ask(stub, name, inputs, outputs=(), model="photos"):
    request = prediction_service.request_of(model, name, inputs, outputs)
    response = stub.Predict(request, timeout=30)
    found = response.outputs.items()
    return {key: tf.make_ndarray(value) for key, value in found}


def refused(stub, *asked, **named):
    with pytest.raises(grpc.RpcError) as raised:
        ask(stub, *asked, **named)
    return raised.value.code(), raised.value.details()


def test_the_server_warms_up_by_its_own_messages(exported):
    for model in exported.values():
        logs = prediction_service.warmup_requests(model.folder)
        named = [v.predict_log.request.model_spec.signature_name for v in logs]
        assert sorted(named) == sorted(BATCHED)
        for log in logs:
            assert log.WhichOneof("log_type") == "predict_log"
            # Nothing that the messages do not know, and nothing else.
            again = log.SerializeToString(deterministic=True)
            assert type(log).FromString(again) == log
            log.DiscardUnknownFields()
            assert log.SerializeToString(deterministic=True) == again
            inputs = log.predict_log.request.inputs
            assert all(v.tensor_shape.dim[0].size == 1 for v in inputs.values())


def test_every_signature(service, exported):
    batching, stub = service
    grey = exported["grey"]
    for name, inputs in grey.requests.items():
        outputs = ()
        if batching._wait is not None and name not in BATCHED:
            code, said = refused(stub, name, inputs)
            assert code == grpc.StatusCode.INVALID_ARGUMENT
            assert "dimension" in said
            outputs = sorted(set(grey.answers[name]) - {"num_groups"})
        found = ask(stub, name, inputs, outputs)
        if outputs:
            found["num_groups"] = grey.answers[name]["num_groups"]
        grey.assert_answers(name, found)


def test_clients_that_ask_at_once(service, exported):
    """Each gets its own rows, whether or not they ran as one."""
    batching, stub = service
    inputs = exported["grey"].requests["decode"]
    expected = exported["grey"].answers["decode"]["observations"]
    batching.batches.clear()
    rows = [slice(row % 5, row % 5 + 1 + row % 2) for row in range(12)]

    def decode(part):
        given = {key: value[part] for key, value in inputs.items()}
        return ask(stub, "decode", given)["observations"]

    with concurrent.futures.ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(decode, rows))
    for part, answer in zip(rows, answers, strict=True):
        np.testing.assert_allclose(answer, expected[part], atol=1e-5)
    if batching._wait is not None:
        assert sum(batching.batches) == 12
        assert max(batching.batches) > 1


def test_what_is_amiss_is_said(service):
    _, stub = service
    code, said = refused(
        stub, "encode", {"observations": np.full((1, 2, 2, 1), 255, "f4")}
    )
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "observations must be numbers in [0, 1]" in said
    code, said = refused(stub, "encode_images", {"images": [b"GIF89a"]})
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "images must be PNG or JPEG files: that of row 0 is neither" in said
    code, _ = refused(stub, "encode", {"observations": ["text"]})
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    code, _ = refused(stub, "encode", {}, model="other")
    assert code == grpc.StatusCode.NOT_FOUND


def test_the_client_in_the_documentation(service, tmp_path, monkeypatch):
    """As it stands, but for the address and the file."""
    batching, _ = service
    picture = tf.io.encode_png(np.full((20, 30, 3), 200, np.uint8))
    (tmp_path / "new.jpg").write_bytes(picture.numpy())
    monkeypatch.chdir(tmp_path)
    (client,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert "localhost:8500" in client
    defined = {}
    exec(client.replace("localhost:8500", batching.address), defined)
    assert defined["answer"]["content_loc"].shape == (1, 3)
