"""train.py until it has taken its first steps, for `step.py`."""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

import os
from unittest import mock

from mlvae_tf.commands import train
from mlvae_tf.runs import callbacks


def stop(*_: object, **__: object) -> None:
    """End the process at once."""
    os._exit(0)


if __name__ == "__main__":
    with mock.patch.object(callbacks.Progress, "on_train_batch_end", stop):
        train.run()
