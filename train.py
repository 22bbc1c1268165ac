"""Train a Multi-Level VAE.

`python train.py --help` says what it takes and what it leaves.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from mlvae_tf.commands import train

if __name__ == "__main__":
    train.run()
