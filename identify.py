"""Say whom pictures are of: the best three groups of a content store.

`python identify.py --help` says what it takes and what it leaves.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from mlvae_tf.commands import identify

if __name__ == "__main__":
    identify.run()
