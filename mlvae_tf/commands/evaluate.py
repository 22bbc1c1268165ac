"""Evaluate a trained Multi-Level VAE.

    python evaluate.py --workdir=DIR [--dataset=SPEC] [flags]

measures what content and style say of the group on held-out observations,
prints a table, and leaves metrics.json, pictures and report.html in
DIR/evaluation.

Installed, it is `mlvae-evaluate`.
"""

from __future__ import annotations

from absl import flags

from mlvae_tf.data.config import DataConfig
from mlvae_tf.runs import command_line


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of the run.")
    flags.DEFINE_list(
        "evidence_counts",
        ["1", "2", "3", "5", "10", "all"],
        "How many observations of a group to accumulate, comma-separated.",
    )
    flags.DEFINE_integer(
        "importance_samples",
        100,
        "Samples of the importance-weighted bound.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "seeds",
        1,
        "Train and evaluate the run with so many seeds in all, in DIR/seeds, "
        "and report means and spread.",
        lower_bound=1,
    )
    command_line.define_flags(DataConfig)


def main() -> None:
    """Measure a run."""
    given = flags.FLAGS
    folder = command_line.folder("workdir")
    counts = command_line.counts("evidence_counts", given.evidence_counts)

    command_line.import_tensorflow()
    from mlvae_tf.evaluation import tables
    from mlvae_tf.runs import evaluation

    table = evaluation.evaluate(
        folder,
        counts,
        given.importance_samples,
        command_line.given_flags(DataConfig),
        given.seeds,
    )
    print(tables.as_text(table))
    print(f"Report: {folder / 'evaluation' / 'report.html'}")


def run() -> None:
    """The command."""
    _define_flags()
    command_line.run(main, __doc__)


flags.disclaim_key_flags()  # They are the script's.
