"""Train a Multi-Level VAE.

    python train.py --workdir=DIR [--preset=NAME] [--dataset=SPEC] [flags]

leaves in DIR the configuration, checkpoints, TensorBoard logs, the Keras model
and the exported SavedModel. `python evaluate.py --workdir=DIR` comes next.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from mlvae_tf.commands import train

if __name__ == "__main__":
    train.run()
