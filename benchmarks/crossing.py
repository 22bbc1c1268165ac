"""Batches of several levels: what their groups share, memory and time.

    python benchmarks/crossing.py
    python benchmarks/crossing.py --observations=10000000

The first prints, for crossed and nested levels, the mean number of observations
per group and level in batches of `--groups` groups of `--shared` observations:
at random, by `CrossingSampler`, and in the best case, which is what is
asked for, or what a group has. The second, for that many observations of a
million groups crossed with a thousand, what the index and one epoch's order
hold, the peak while they are made, and the time for these and for a batch.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
from absl import app, flags

from mlvae_tf.data.crossing import CrossingSampler, sharing
from mlvae_tf.data.design import ByLevel, count_groups
from mlvae_tf.data.sampling import Sampler, ShuffledSampler

_GROUPS = flags.DEFINE_integer("groups", 64, "Groups per batch.")
_SHARED = flags.DEFINE_integer("shared", 4, "Observations per group.")
_OBSERVATIONS = flags.DEFINE_integer("observations", None, "Measure the scale.")
MB = 1e6
MEASURED = 400  # Batches.


def crossed(*sizes: int, keep: float = 1.0) -> ByLevel:
    """Levels of which a fraction of all combinations has an observation."""
    numbers = np.indices(sizes, np.int32).reshape(len(sizes), -1)
    kept = np.random.default_rng(0).random(numbers.shape[1]) < keep
    return dict(zip("abc", numbers[:, kept]))


def nested(outer: int, inner: int, observations: int) -> ByLevel:
    """Groups within groups."""
    numbers = np.repeat(np.arange(outer * inner, dtype=np.int32), observations)
    return {"a": numbers // inner, "b": numbers}


def nearly_nested(groups: int, outer: int, observations: int) -> ByLevel:
    """Groups that are within one of the others for nine tenths."""
    generator = np.random.default_rng(0)
    count = groups * observations
    home = np.repeat(
        generator.integers(0, outer, groups, np.int32), observations
    )
    away = generator.integers(0, outer, count, np.int32)
    at = np.where(generator.random(count) < 0.9, home, away)
    return {"a": np.arange(count, dtype=np.int32) // observations, "b": at}


def uneven(count: int, *sizes: int) -> ByLevel:
    """Groups whose number of observations falls as their number rises."""
    generator = np.random.default_rng(0)
    found = {}
    for name, size in zip("ab", sizes):
        share = 1 / np.arange(1, size + 1)
        ids = generator.choice(size, count, p=share / share.sum())
        numbers = np.unique(ids, return_inverse=True)[1]
        found[name] = numbers.astype(np.int32)
    return found


CASES = {
    "36 x 242, complete": crossed(36, 242),
    "36 x 242, 70%": crossed(36, 242, keep=0.7),
    "1,000 x 100, 30%": crossed(1000, 100, keep=0.3),
    "1,000 x 100, 5%": crossed(1000, 100, keep=0.05),
    "100,000 x 1,000, 1%": crossed(100_000, 1000, keep=0.01),
    "300 x 5, complete": crossed(300, 5),
    "100 x 20 x 12, complete": crossed(100, 20, 12),
    "100 x 20 x 12, 20%": crossed(100, 20, 12, keep=0.2),
    "20,000 x 1,000, uneven": uneven(200_000, 20_000, 1000),
    "5,000 nearly in 100": nearly_nested(5000, 100, 6),
    "1,000 > 3,000 > 10": nested(1000, 3, 10),
}


def shared(sampler: Sampler, group_indices: ByLevel) -> str:
    """What groups share in the first batches of an epoch."""
    order = sampler.order(seed=0, epoch=0)
    plan = sampler.plan(order, 0, min(len(sampler), MEASURED))
    return " / ".join(f"{v:.2f}" for v in sharing(plan, group_indices).values())


def best(group_indices: ByLevel) -> str:
    """What is asked for, where groups have it."""
    means = (len(of) / count_groups(of) for of in group_indices.values())
    return " / ".join(f"{min(_SHARED.value, mean):.3g}" for mean in means)


def table(rows: list[list[str]]) -> None:
    rows.insert(1, ["---"] * len(rows[0]))
    for row in rows:
        print(f"| {' | '.join(row)} |")


def sharing_table() -> None:
    rows = [["levels", "at random", "CrossingSampler", "asked for"]]
    for name, group_indices in CASES.items():
        size = _GROUPS.value * _SHARED.value
        at_random = ShuffledSampler(group_indices["a"], size)
        crossing = CrossingSampler(group_indices, _GROUPS.value, _SHARED.value)
        samplers = at_random, crossing
        figures = [shared(sampler, group_indices) for sampler in samplers]
        rows.append([name, *figures, best(group_indices)])
    table(rows)


def scale_table(count: int) -> None:
    generator = np.random.default_rng(0)
    tracemalloc.start()
    group_indices = {
        "a": generator.integers(0, 1_000_000, count, np.int32),
        "b": generator.integers(0, 1000, count, np.int32),
    }
    began = time.perf_counter()
    sampler = CrossingSampler(group_indices, _GROUPS.value, _SHARED.value)
    indexed = time.perf_counter()
    held = tracemalloc.get_traced_memory()[0]
    order = sampler.order(seed=0, epoch=0)
    ordered = time.perf_counter()
    both, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    times = []
    for batch in range(MEASURED):
        start = time.perf_counter()
        sampler.plan(order, batch, batch + 1)
        times.append(time.perf_counter() - start)
    columns = {
        "observations": f"{count:,}",
        "index, MB": f"{held / MB:.0f}",
        "an epoch's order, MB": f"{(both - held) / MB:.0f}",
        "peak, MB": f"{peak / MB:.0f}",
        "seconds to index": f"{indexed - began:.1f}",
        "seconds an order": f"{ordered - indexed:.1f}",
        "ms per batch, median": f"{1e3 * np.median(times):.3f}",
        "ms per batch, most": f"{1e3 * max(times):.3f}",
    }
    table([list(columns), list(columns.values())])


def main(arguments: list[str]) -> None:
    del arguments
    if _OBSERVATIONS.value:
        scale_table(_OBSERVATIONS.value)
    else:
        sharing_table()


if __name__ == "__main__":
    app.run(main)
