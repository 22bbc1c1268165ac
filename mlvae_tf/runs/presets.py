"""Presets: whole settings by name. TensorFlow is not imported here."""

from __future__ import annotations

from typing import Any

from mlvae_tf.errors import InputError

PRESETS: dict[str, dict[str, Any]] = {
    "mnist_5k": {"dataset": "mnist_5k"},
    "mnist": {"dataset": "tfds:mnist"},
    "mnist_paper": {
        "dataset": "tfds:mnist",
        "holdout_observations": 1 / 6,
        "likelihood": "normal_learned_scale",
        "activation": "tanh",
        "content_dim": 10,
        "style_dim": 10,
        "content_samples": "observation",
        "evidence_dropout": 0.0,
        "style_given_content": False,
        "style_flow": 0,
        "content_contrast": 0.0,
        "augment_groups": 0.0,
        "batch_size": 256,
        "learning_rate": 2e-3,
        "learning_rate_decay": False,
        "weight_averaging": 0.1,
        "style_kl_start": 2.0,
        "epochs": 2000,
    },
    "glyphs": {
        "dataset": "npz:glyphs.npz",
        "groups": ("font", "character"),
        "holdout_groups": 0.2,
        "holdout_cells": 0.3,
        "level_dims": ("font:32", "character:32"),
        "style_dim": 0,
        "hidden_units": (500, 500),
        "observations_per_group": 8,
        "steps": 3000,
    },
    "faces": {
        "dataset": "tfds:lfw",
        "image_size": 32,
        "colors": "grey",
        "holdout_groups": 0.25,
        "holdout_observations": 0.1,
        "trunk": "linear",
        "content_dim": 128,
        "style_dim": 4,
        "likelihood": "normal",
        "observation_scale": 0.05,
        "style_given_content": False,
        "content_contrast": 0.0,
        "mirror_groups": True,
        "augment_groups": 0.7,
        "groups_per_batch": 15,
        "observations_per_group": 10,
        "style_kl_start": 4.0,
        "style_kl_weight": 2.0,
        "epochs": 200,
    },
}


def preset(name: str) -> dict[str, Any]:
    """The fields that a preset sets.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in PRESETS:
        raise InputError(
            f"--preset must be one of {', '.join(PRESETS)}: got {name!r}."
        )
    return PRESETS[name]
