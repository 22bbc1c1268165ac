"""`encode` through the SavedModel beside the live model, and its latency.

    python benchmarks/serving.py

compares, with the networks of the preset mnist_5k and 28x28 images, the
signature `encode` of the loaded SavedModel with the live model's compiled
`encode` on the same batches of 1,024, the two by turns; both check what they
get. Then single observations, one call after the other: the seconds of which
one in two, and one in a hundred, take longer. Prints a Markdown table. With
`--style_flow=10` the style is as `train.py` makes it by default, read given the
content and with a flow behind it.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import app, flags
from pictures import SHAPE
from shared import median_and_range, print_table

from mlvae_tf.runs import command_line

_TURNS = flags.DEFINE_integer("turns", 11, "Turns of each of the two.")
_BATCHES = flags.DEFINE_integer("batches", 200, "Batches of a turn.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "Observations.")
_CALLS = flags.DEFINE_integer("calls", 10_000, "Of a single observation.")
_STYLE_FLOW = flags.DEFINE_integer(
    "style_flow", 0, "Of the model, as train.py."
)


def make_both() -> dict[str, Callable[..., Any]]:
    """By name, what encodes observations: the live model, and as served."""
    import tensorflow as tf

    from mlvae_tf.model import MLVAE

    model = MLVAE(
        SHAPE,
        hidden_units=(500, 500),
        activation="relu",
        style_given_content=_STYLE_FLOW.value > 0,
        style_flow=_STYLE_FLOW.value,
    )
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder, "1")
        model.export(place)
        loaded = tf.saved_model.load(str(place))
    served = loaded.signatures["encode"]
    # The module holds the variables: as long as it is held, so are they.
    return {
        "live": tf.function(model.encode),
        "served": lambda observations, _=loaded: served(
            observations=observations
        ),
    }


def throughput(both: dict[str, Callable[..., Any]]) -> dict[str, np.ndarray]:
    """Observations per second of either, by turn."""
    import tensorflow as tf

    size, count = _BATCH_SIZE.value, _BATCHES.value
    generator = np.random.default_rng(0)
    ready = [
        tf.constant(generator.uniform(size=(size, *SHAPE)), tf.float32)
        for _ in range(min(count, 20))
    ]
    rates: dict[str, list[float]] = {name: [] for name in both}
    for turn in range(-1, _TURNS.value):  # The first one traces.
        for name, encode in both.items():
            began = time.perf_counter()
            for number in range(count):
                answer = encode(ready[number % len(ready)])
            for part in tf.nest.flatten(_tensors(answer)):
                part.numpy()
            if turn >= 0:
                seconds = time.perf_counter() - began
                rates[name].append(size * count / seconds)
    return {name: np.array(values) for name, values in rates.items()}


def _tensors(answer: Any) -> Any:
    if isinstance(answer, dict):
        return answer
    return [[normal.loc, normal.scale] for normal in answer]


def latency(encode: Callable[..., Any]) -> np.ndarray:
    """Seconds of each call for a single observation."""
    import tensorflow as tf

    generator = np.random.default_rng(0)
    one = generator.uniform(size=(1, *SHAPE)).astype(np.float32)
    seconds = []
    for _ in range(_CALLS.value + 100):  # The first ones warm up.
        began = time.perf_counter()
        for part in encode(tf.constant(one)).values():
            part.numpy()
        seconds.append(time.perf_counter() - began)
    return np.array(seconds[100:])


def main(arguments: list[str]) -> None:
    del arguments
    command_line.import_tensorflow()
    both = make_both()
    live, served = throughput(both).values()
    lines = [["", "median", "range"]]
    for name, rates in (("live", live), ("served", served)):
        lines.append([f"{name}, observations/s", *median_and_range(rates, 0)])
    lines.append(["ratio of a turn", *median_and_range(served / live, 3)])
    took = 1000 * latency(both["served"])
    for share in (50, 99):
        cell = f"{np.percentile(took, share):.3f}"
        lines.append([f"p{share} of a single observation, ms", cell, ""])
    print_table(lines)


if __name__ == "__main__":
    app.run(main)
