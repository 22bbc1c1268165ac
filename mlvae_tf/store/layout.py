"""Which tables a model has: of which levels, and how these lie together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlvae_tf.fingerprint import fingerprint
from mlvae_tf.model import MLVAE
from mlvae_tf.store.ids import Parents
from mlvae_tf.store.table import check_rule


class Inner(NamedTuple):
    """How an inner level's groups lie around their outer ones.

    Attributes:
        parent: The outer level.
        precision: Around its latents, float64 `[dim]`.
    """

    parent: str
    precision: np.ndarray


class Layout(NamedTuple):
    """The tables of a model, small enough to send to any worker.

    Attributes:
        rules: By level that has one, how evidence makes the latent.
        inner: By inner level, innermost first, what is around it.
        fingerprint: Identity of the model.
    """

    rules: dict[str, str]
    inner: dict[str, Inner]
    fingerprint: str

    @classmethod
    def of(cls, model: MLVAE) -> Layout:
        """That of a model.

        Raises:
            InputError: If a level's rule does not add evidence up.
        """
        codec = model.codec
        rules = {level.name: level.accumulation for level in codec.drawn}
        for rule in rules.values():
            check_rule(rule)
        inner = {
            level.name: Inner(
                level.parent,
                codec.spreads[level.name].precision.numpy().astype(np.float64),
            )
            for level in reversed(codec.outer_first)
            if level.parent
        }
        return cls(rules, inner, fingerprint(model))

    @property
    def parents(self) -> Parents:
        """By level, the one that its groups are in."""
        around = {name: inner.parent for name, inner in self.inner.items()}
        levels = dict.fromkeys([*self.rules, *around, *around.values()])
        return {name: around.get(name) for name in levels}

    def described(self) -> dict[str, Any]:
        """The levels as JSON has them."""
        inner = {
            name: [parent, precision.tolist()]
            for name, (parent, precision) in self.inner.items()
        }
        return {"tables": list(self.rules), "inner": inner}
