"""Multi-Level Variational Autoencoder for TensorFlow and Keras 3.

Glossary, from the letters of the paper (Bouchacourt, Tomioka, Nowozin 2018,
arXiv 1705.08841) to the words used here:

    G          a group; `group_ids` tell which observations share one
    x_i        an observation
    C_G        the content of a group, `content`
    S_i        the style of an observation, `style`
    q(c|X_G)   the content posterior, evidence accumulated over the group
    q(s_i|x_i) the style posterior
    mu, sigma  `loc`, `scale` of a normal
    1/sigma^2  `precision`; times mu: `weighted_loc`; both: `Evidence`
    p(x|c,s)   the likelihood, `model.decode(content, style)`

Groups have three kinds of numbers: `group_ids` are what users call them,
integers or strings; `group_index` (of several levels, `group_indices`) numbers
those of a dataset, sorted; `segment_ids` those of a batch, or of what is passed
at once, in order of first appearance, and are negative where there is none.
`rows` are always numbers of observations, or of a table's rows.
"""

from __future__ import annotations

import os
import pathlib
import sys

import __main__
from mlvae_tf.version import VERSION

__version__ = VERSION
__all__ = [
    "MLVAE",
    "InputError",
    "Level",
    "Warmup",
    "control",
    "data",
    "evidence",
    "layers",
    "likelihoods",
    "objective",
    "prepare",
    "replicas",
]

# Importing the package registers its classes with Keras, which needs them to
# load a saved model. Only our commands look at their flags before that, so that
# they answer --help without waiting for TensorFlow.
_COMMANDS = (
    "mlvae-train",
    "mlvae-evaluate",
    "mlvae-encode",
    "mlvae-swap",
    "mlvae-identify",
)
_is_command = hasattr(__main__, "__flags_first__") or (
    pathlib.Path((sys.argv or [""])[0]).stem in _COMMANDS
)

if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise ImportError(
        "mlvae_tf is a package for Keras on TensorFlow: got KERAS_BACKEND="
        f"{os.environ['KERAS_BACKEND']}. Unset it, or set it to tensorflow."
    )

if not _is_command:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            "mlvae_tf is a package for Keras on TensorFlow: got the backend "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow."
        )
    from mlvae_tf import (
        control,
        data,
        evidence,
        layers,
        likelihoods,
        objective,
        replicas,
    )
    from mlvae_tf.errors import InputError
    from mlvae_tf.levels import Level
    from mlvae_tf.model import MLVAE
    from mlvae_tf.runs.preparing import prepare
    from mlvae_tf.schedules import Warmup
