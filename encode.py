"""Encode observations into a content store: a table with a row per group.

`python encode.py --help` says what it takes and what it leaves.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from mlvae_tf.commands import encode

if __name__ == "__main__":
    encode.run()
