"""Memory and time of the index that batches are drawn from.

    python benchmarks/index_memory.py --observations=10000000 --groups=1000000

prints a Markdown table: what the groups' ids, the group of each observation and
the sampler's index hold, and one epoch's order; by how much the process grew
for them; the peak while they were made; and how long that took.
"""

from __future__ import annotations

import os
import pathlib
import time
import tracemalloc

import numpy as np
from absl import app, flags

from mlvae_tf.data.sampling import Batching

_OBSERVATIONS = flags.DEFINE_integer("observations", 10_000_000, "How many.")
_GROUPS = flags.DEFINE_integer("groups", 1_000_000, "How many groups.")
MB = 1e6


def resident() -> float:
    """Memory of this process that is not swapped out, MB."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


def main(arguments: list[str]) -> None:
    del arguments
    count, num_groups = _OBSERVATIONS.value, _GROUPS.value
    generator = np.random.default_rng(0)
    before = resident()
    tracemalloc.start()
    group_index = generator.integers(0, num_groups, count, np.int32)
    groups = np.arange(num_groups)
    began = time.perf_counter()
    sampler = Batching(64, 4).sampler(group_index)
    indexed = time.perf_counter()
    index = tracemalloc.get_traced_memory()[0]
    order = sampler.order(seed=0, epoch=0)
    ordered = time.perf_counter()
    both, peak = tracemalloc.get_traced_memory()
    grown = resident() - before
    columns = {
        "observations": f"{count:,}",
        "groups": f"{len(groups):,}",
        "index, MB": f"{index / MB:.0f}",
        "an epoch's order, MB": f"{(both - index) / MB:.0f}",
        "both, MB": f"{both / MB:.0f}",
        "both, growth of the process, MB": f"{grown:.0f}",
        "peak, MB": f"{peak / MB:.0f}",
        "seconds to index": f"{indexed - began:.1f}",
        "seconds an order": f"{ordered - indexed:.1f}",
    }
    del order
    for line in (columns, ["---"] * len(columns), columns.values()):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    app.run(main)
