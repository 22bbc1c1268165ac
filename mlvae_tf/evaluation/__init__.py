"""Measurements, pictures and the report of a trained model."""

from __future__ import annotations

from mlvae_tf.errors import require

require("app", "anyascii", "jinja2", "matplotlib", "sklearn")
