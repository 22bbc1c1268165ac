"""TensorFlow Serving's rules for requests, after its sources.

`predict_util.cc`: a request has the inputs of a signature, each of its type;
their shapes are not looked at. `batching_session.cc`: requests for the same
inputs and outputs as a signature's wait for each other, other requests run by
themselves.
"""

import numpy as np
import tensorflow as tf


class Refused(Exception):
    """The server does not run a request, or does not return its answer."""


class Server:
    """Serves a SavedModel.

    Args:
        folder: The SavedModel.
        batching: Whether requests that come together are run as one.
    """

    def __init__(self, folder, batching):
        self._batching = batching
        graph = tf.Graph()
        with graph.as_default():
            self._session = tf.compat.v1.Session(graph=graph)
            meta_graph = tf.compat.v1.saved_model.load(
                self._session, ["serve"], str(folder)
            )
        self.signatures = meta_graph.signature_def

    def predict(self, name, *requests, outputs=None):
        """The answers to requests for a signature that come together.

        Args:
            name: The signature.
            requests: Arrays by name.
            outputs: Which of its outputs are asked for; by default, all.
        """
        signature = self.signatures[name]
        for request in requests:
            _check_inputs(signature, request)
        asked = set(outputs or signature.outputs)
        if not self._batching or asked != set(signature.outputs):
            return [self._run(signature, one, asked) for one in requests]
        sizes = [_batch_size(request) for request in requests]
        shapes = [
            {key: value.shape[1:] for key, value in request.items()}
            for request in requests
        ]
        if any(shape != shapes[0] for shape in shapes):
            raise Refused("different shapes")
        merged = {
            key: np.concatenate([request[key] for request in requests])
            for key in signature.inputs
        }
        return _split(self._run(signature, merged, asked), sizes)

    def _run(self, signature, request, asked):
        """What a session in C++ does, which looks at no shapes either."""
        session = self._session
        tensor = session.graph.get_tensor_by_name
        names = sorted(asked)
        values = session._call_tf_sessionrun(
            None,
            {
                tensor(signature.inputs[key].name)._as_tf_output(): value
                for key, value in request.items()
            },
            [
                tensor(signature.outputs[key].name)._as_tf_output()
                for key in names
            ],
            [],
            None,
        )
        return dict(zip(names, map(np.asarray, values)))


def _check_inputs(signature, request):
    if set(request) != set(signature.inputs):
        raise Refused("input size does not match signature")
    for key, value in request.items():
        kind = tf.dtypes.as_dtype(signature.inputs[key].dtype)
        if value.dtype != kind.as_numpy_dtype:
            raise Refused(f"{key} expected to be {kind.name}")


def _batch_size(request):
    if any(value.ndim == 0 for value in request.values()):
        raise Refused("input tensors must have at least one dimension")
    sizes = {len(value) for value in request.values()}
    if len(sizes) > 1:
        raise Refused("input tensors must have equal 0th-dimension size")
    return sizes.pop()


def _split(answer, sizes):
    for value in answer.values():
        if value.ndim == 0:
            raise Refused("batched output tensor has 0 dimensions")
        if len(value) != sum(sizes):
            raise Refused("0th dimension does not equal the sum of the inputs'")
    ends = np.cumsum(sizes)[:-1]
    parts = {key: np.split(value, ends) for key, value in answer.items()}
    return [
        {key: part[number] for key, part in parts.items()}
        for number in range(len(sizes))
    ]
