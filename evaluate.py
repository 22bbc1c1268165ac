"""Evaluate a trained Multi-Level VAE.

    python evaluate.py --workdir=DIR [--dataset=SPEC] [flags]

measures what content and style say of the group on held-out observations,
prints a table, and leaves metrics.json, pictures and report.html in
DIR/evaluation.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from absl import flags

from mlvae_tf import command_line
from mlvae_tf.config import DataConfig

flags.DEFINE_string("workdir", None, "Folder of the run.")
_COUNTS = flags.DEFINE_list(
    "evidence_counts",
    ["1", "2", "3", "5", "10", "all"],
    "How many observations of a group to accumulate, comma-separated.",
)
_SAMPLES = flags.DEFINE_integer(
    "importance_samples",
    100,
    "Samples of the importance-weighted bound.",
    lower_bound=1,
)
_SEEDS = flags.DEFINE_integer(
    "seeds",
    1,
    "Train and evaluate the run with so many seeds in all, in DIR/seeds, and "
    "report means and spread.",
    lower_bound=1,
)
command_line.define_flags(DataConfig)
flags.adopt_module_key_flags(command_line)


def main() -> None:
    folder = command_line.folder("workdir")
    counts = command_line.counts("evidence_counts", _COUNTS.value)

    command_line.import_tensorflow()
    from mlvae_tf.evaluation import run, tables

    table = run.evaluate(
        folder,
        counts,
        _SAMPLES.value,
        command_line.given_flags(DataConfig),
        _SEEDS.value,
    )
    print(tables.as_text(table))
    print(f"Report: {folder / 'evaluation' / 'report.html'}")


if __name__ == "__main__":
    command_line.run(main)
