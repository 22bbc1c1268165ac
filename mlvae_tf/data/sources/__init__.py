"""One module per kind of dataset SPEC."""

from __future__ import annotations

from mlvae_tf.errors import require

require("app", "PIL", "mlxtend", "requests", "tensorflow_datasets")
