"""The content store: what is known of every group, kept."""

from __future__ import annotations

from mlvae_tf.errors import require

require("store", "pyarrow")

from mlvae_tf.store.table import ContentStore  # noqa: E402 - It needs that.
from mlvae_tf.store.tables import LevelStores  # noqa: E402

__all__ = ["ContentStore", "LevelStores"]
