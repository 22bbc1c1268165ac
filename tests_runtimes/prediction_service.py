"""TensorFlow Serving's PredictionService on loopback, in Python.

It speaks the server's own messages by gRPC. What it does with requests, alone
and in batches, follows the server's sources (`tests/server.py`).
"""

import concurrent.futures
import pathlib
import threading

import grpc
import server
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

WARMUP = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Serves one version of one model.

    Args:
        name: What the model is called.
        folder: The version.
        wait: Seconds that a batch waits for other requests; None for requests
            that run one by one.
    """

    def __init__(self, name, folder, wait=None):
        self._name, self._wait = name, wait
        self._server = server.Server(folder, batching=wait is not None)
        self._waiting, self._lock = {}, threading.Lock()
        self.batches = []  # How many requests ran as one.
        for log in warmup_requests(folder):
            self._predict(log.predict_log.request)

    def Predict(self, request, context):
        if request.model_spec.name != self._name:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        try:
            return self._predict(request)
        except (server.Refused, tf.errors.InvalidArgumentError) as error:
            said = getattr(error, "message", str(error))
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, said)

    def _predict(self, request):
        name = request.model_spec.signature_name or "serving_default"
        if name not in self._server.signatures:
            raise server.Refused(f"no signature {name!r}")
        given = {
            key: tf.make_ndarray(value) for key, value in request.inputs.items()
        }
        asked = tuple(request.output_filter)
        if self._wait is None or asked:
            (found,) = self._server.predict(name, given, outputs=asked)
        else:
            found = self._in_batch(name, given)
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for key, value in found.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    def _in_batch(self, name, given):
        """The first of a batch waits for others, and runs them all."""
        future = concurrent.futures.Future()
        with self._lock:
            batch = self._waiting.setdefault(name, [])
            batch.append((given, future))
            is_first = len(batch) == 1
        if is_first:
            threading.Event().wait(self._wait)
            with self._lock:
                self._waiting.pop(name)
            self._run(name, batch)
        return future.result()

    def _run(self, name, batch):
        self.batches.append(len(batch))
        try:
            found = self._server.predict(name, *(given for given, _ in batch))
        except Exception as error:  # It is that of all of them.
            found = [error] * len(batch)
        for (_, future), answer in zip(batch, found, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def warmup_requests(folder):
    """What the server asks a model itself, before it serves it."""
    return [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(folder / WARMUP))
    ]


def serve(service):
    """Start to serve.

    Returns:
        The server, to be stopped, and its address.
    """
    started = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        service, started
    )
    port = started.add_insecure_port("localhost:0")
    started.start()
    return started, f"localhost:{port}"


def request_of(name, signature, inputs, outputs=()):
    """A client's request."""
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        tensor = tf.make_tensor_proto(value)
        request.inputs[key].CopyFrom(tensor)
    return request
