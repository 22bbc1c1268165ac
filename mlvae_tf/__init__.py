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
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Loaded when first used: the scripts answer --help without TensorFlow.
_PUBLIC = {
    "MLVAE": "mlvae_tf.model",
    "Warmup": "mlvae_tf.schedules",
    "InputError": "mlvae_tf.errors",
}
_MODULES = ("evidence", "layers", "objective")

__all__ = [*_PUBLIC, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"mlvae_tf.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
