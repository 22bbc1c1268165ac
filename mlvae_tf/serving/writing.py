"""The SavedModel on a disk."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from mlvae_tf import files
from mlvae_tf.fingerprint import HasConfig
from mlvae_tf.serving import warmup
from mlvae_tf.serving.describing import Groups, describe
from mlvae_tf.serving.signatures import Signatures
from mlvae_tf.serving.tracing import traced

_DESCRIPTION = pathlib.PurePath("assets", "model.json")


def export(
    model: HasConfig,
    folder: pathlib.Path,
    groups: Groups = None,
    pictures: bool = False,
) -> None:
    """Write a SavedModel with every signature, whole or not at all.

    Args:
        model: The model.
        folder: Where it goes: `NAME/1` is what TensorFlow Serving watches.
        groups: `[G]`, the ids of the groups that the model learned from, for
            those who read `assets/model.json`; of several levels by level.
        pictures: Whether its observations are pictures of eight bits, so that
            it may be given files of any.
    """
    signatures = Signatures(model, pictures)
    served = {
        name: traced(
            signatures.endpoint(name), list(signatures.spec(name).values())
        )
        for name in signatures.names
    }
    served["serving_default"] = served["encode"]
    with files.whole(folder) as partial:
        tf.saved_model.save(
            _Saved(model, signatures, served), str(partial), served
        )
        files.write_json(
            partial / _DESCRIPTION, describe(model, signatures, groups)
        )
        warmup.write(partial, signatures, served)


def description(folder: pathlib.Path) -> dict[str, Any]:
    """What `assets/model.json` says of a SavedModel; nothing if it has none."""
    path = folder / _DESCRIPTION
    return json.loads(path.read_text()) if path.exists() else {}


class _Saved(tf.Module):
    """What a SavedModel holds besides its signatures.

    Args:
        model: The model.
        signatures: Its signatures.
        served: Them as functions.
    """

    def __init__(
        self, model: HasConfig, signatures: Signatures, served: dict[str, Any]
    ) -> None:
        super().__init__()
        # For programs that check observations themselves: without checks, so
        # that XLA takes it.
        self.propose = tf.function(
            signatures.propose,
            list(signatures.spec("encode").values()),
            autograph=False,
        )
        functions = *served.values(), self.propose.get_concrete_function()
        graphs = [function.graph for function in functions]
        self.read = list(
            {id(v): v for graph in graphs for v in graph.variables}.values()
        )
        # What networks of a user hold besides weights, such as a vocabulary.
        self.resources = [*_resources(model.codec.encoder)]
        self.resources += _resources(model.codec.decoder)


def _resources(network: tf.Module) -> Iterator[Any]:
    kind = tf.saved_model.experimental.TrackableResource
    for part in tf.train.TrackableView(network).descendants():
        if isinstance(part, kind):
            yield part
