"""Swap content and style between pictures of yours.

`python swap.py --help` says what it takes and what it leaves.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from mlvae_tf.commands import swap

if __name__ == "__main__":
    swap.run()
