"""Evaluate a trained Multi-Level VAE.

`python evaluate.py --help` says what it takes and what it leaves.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from mlvae_tf.commands import evaluate

if __name__ == "__main__":
    evaluate.run()
