"""The SavedModel: signatures that need TensorFlow alone."""

from __future__ import annotations

from mlvae_tf.serving.describing import Groups
from mlvae_tf.serving.signatures import NAMES, Signatures
from mlvae_tf.serving.writing import description, export

__all__ = ["NAMES", "Groups", "Signatures", "description", "export"]
