"""Evaluate a trained Multi-Level VAE.

    python evaluate.py --workdir=DIR [--dataset=SPEC] [flags]

measures what content and style say of the group on held-out observations,
prints a table, and leaves metrics.json, pictures and report.html in
DIR/evaluation.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from mlvae_tf.commands import evaluate

if __name__ == "__main__":
    evaluate.run()
