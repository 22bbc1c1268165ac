"""One of several workers that train a model together, for the tests.

    TF_CONFIG=... python tests/worker.py FOLDER CASE...

leaves what it comes to in FOLDER/CASE-INDEX.npz.
"""

import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf.levels import Level
from mlvae_tf.model import MLVAE
from mlvae_tf.replicas import ALONE, Workers

ROWS, GROUPS = 24, 5
LEVELS = [
    Level("visit", 2, parent="patient", contrast=3.0, evidence_dropout=0.5),
    Level("patient", 2),
    Level("light", 1, accumulation="average"),
]
ALL_AT_ONCE = {
    "style_given_content": True,
    "content_contrast": 3.0,
    "evidence_dropout": 0.5,
    "content_samples": "observation",
}
# Steps, dtype, and how the groups lie in a batch.
CASES = {
    "sorted": (1, "float64", {}),
    "split": (1, "float64", {}),
    "unequal": (1, "float64", {}),
    "all": (1, "float64", ALL_AT_ONCE),
    "levels": (1, "float64", {"levels": LEVELS}),
    "chunks": (1, "float64", ALL_AT_ONCE),
    "compiled": (2, "float32", ALL_AT_ONCE),
    "statistics": (1, "float64", {"networks": "statistics"}),
    "penalties": (1, "float64", {"networks": "penalties"}),
    "long": (100, "float32", ALL_AT_ONCE),
}
UNEQUAL = 17  # Rows of the first worker's, of two.


def networks(kind):
    """An encoder and a decoder: with moving statistics, or with penalties."""
    layers = keras.layers
    if kind == "statistics":
        hidden = [layers.BatchNormalization(), layers.Dense(8, "tanh")]
        last = layers.Dense(12)
    else:
        penalties = {"activity_regularizer": "l2", "kernel_regularizer": "l2"}
        hidden = [layers.Dense(8, "tanh", **penalties)]
        last = layers.Dense(12, **penalties)
    encoder = keras.Sequential([layers.Flatten(), *hidden])
    decoder = keras.Sequential([last, layers.Reshape((4, 3))])
    return {"encoder": encoder, "decoder": decoder}


def make_model(case):
    _, dtype, settings = CASES[case]
    settings = dict(settings)
    keras.utils.set_random_seed(3)
    if "networks" in settings:
        settings |= networks(settings.pop("networks"))
    if "levels" not in settings:
        settings["content_dim"] = 3
    return MLVAE(
        (4, 3), style_dim=2, hidden_units=8, likelihood="normal", dtype=dtype,
        **settings,
    )  # fmt: skip


def batches(case, replicas):
    """Batches of every step, whole or a worker's, as `fit` takes them."""
    steps, dtype, _ = CASES[case]
    generator = np.random.default_rng(0)
    ids = generator.integers(0, GROUPS, (steps, ROWS))
    if case == "sorted":
        ids = np.sort(ids)
    observations = generator.normal(size=(steps, ROWS, 4, 3)).astype(dtype)
    group_ids = ids
    if case == "levels":
        group_ids = {"visit": ids, "patient": ids // 2, "light": ids % 3}
    batch = {"observations": observations, "group_ids": group_ids}
    dataset = tf.data.Dataset.from_tensor_slices(batch)
    start, stop = replicas.share(ROWS)
    if case == "unequal" and replicas.count > 1:
        start, stop = [(0, UNEQUAL), (UNEQUAL, ROWS)][replicas.index]
    if case not in ("unequal", "chunks"):
        return dataset

    def own(batch):
        rows = batch["observations"][start:stop]
        if case == "chunks":
            rows = tf.data.Dataset.from_tensor_slices(rows).batch(5)
        return {**batch, "observations": rows, "share": [start, stop]}

    return dataset.map(own)


def run(case, replicas=ALONE):
    """What a case comes to: weights and states, losses."""
    steps, dtype, _ = CASES[case]
    model = make_model(case)
    optimizer = keras.optimizers.SGD(1.0 if dtype == "float64" else 1e-3)
    if case == "long":
        optimizer = keras.optimizers.Adam(3e-3)
    model.compile(optimizer, jit_compile=case in ("compiled", "long"))
    dataset = batches(case, replicas)
    history = model.fit(
        dataset,
        epochs=steps,
        steps_per_epoch=1,
        validation_data=dataset.take(1),
        verbose=0,
        replicas=replicas,
    ).history
    history["threads"] = len(os.listdir("/proc/self/task"))
    weights = {f"weight{n}": w for n, w in enumerate(model.get_weights())}
    return {**weights, **{name: history[name] for name in sorted(history)}}


if __name__ == "__main__":
    folder, *cases = sys.argv[1:]
    workers = Workers.join()
    for case in cases:
        found = run(case, workers)
        np.savez(pathlib.Path(folder, f"{case}-{workers.index}.npz"), **found)
    workers.wait()
