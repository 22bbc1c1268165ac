"""Datasets, their splits, and batches of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlvae_tf.data.batching import grouped_batches

__all__ = ["grouped_batches"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: it imports TensorFlow, and --help is quick.
    if name == "grouped_batches":
        from mlvae_tf.data.batching import grouped_batches

        return grouped_batches
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
