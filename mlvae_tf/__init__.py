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

import __main__

__version__ = "0.1.0"
__all__ = [
    "MLVAE",
    "InputError",
    "Warmup",
    "control",
    "evidence",
    "layers",
    "objective",
]

# Importing the package registers its classes with Keras, which needs them to
# load a saved model. Only our scripts look at their flags before that, so that
# they answer --help without waiting for TensorFlow.
if not hasattr(__main__, "__flags_first__"):
    from mlvae_tf import control, evidence, layers, objective
    from mlvae_tf.errors import InputError
    from mlvae_tf.model import MLVAE
    from mlvae_tf.schedules import Warmup
