"""What training observations tell of combinations of groups."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mlvae_tf.data.design import ByLevel
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation.guesses import (
    Additive,
    Table,
    columns_of,
    divide,
    members_of,
)
from mlvae_tf.model import MLVAE

MAX_TABLE = 1 << 26  # Numbers.
BATCH_SIZE = 1024


@dataclasses.dataclass(frozen=True)
class Learned:
    """A model, and what needs none, of the training groups of every level.

    Attributes:
        model: The model.
        groups: By level that is drawn, the ids of the training groups.
        contents: By level, the means of their posteriors, `[G, dim]`.
        additive: The additive model.
        means: By level, the means of the groups, `[G, D]`.
        tables: By level, with the others' groups; none where it is too large.
    """

    model: MLVAE
    groups: ByLevel
    contents: ByLevel
    additive: Additive
    means: ByLevel
    tables: dict[str, Table]

    @classmethod
    def of(cls, model: MLVAE, train: GroupedData) -> Learned:
        values = train.values()
        found = model.infer_content(values, train.group_indices)
        values = values.reshape(len(values), -1)
        names = [level.name for level in model.codec.drawn]
        groups = {name: train.levels[name].groups for name in names}
        sizes = {name: len(of_level) for name, of_level in groups.items()}
        group_indices = {name: train.group_indices[name] for name in names}
        known = np.isfinite(values)
        contents, means, tables = {}, {}, {}
        for name, size in sizes.items():
            order, posterior = found[name]
            contents[name] = posterior.loc.numpy()[np.argsort(order)]
            members = members_of(group_indices[name], size)
            means[name] = divide(
                members @ np.nan_to_num(values),
                members @ known.astype(np.float32),
            )
            others = {k: v for k, v in sizes.items() if k != name}
            shape = size, int(np.prod(list(others.values())))
            if np.prod(shape) * values.shape[1] <= MAX_TABLE:
                columns = columns_of(group_indices, others)
                tables[name] = Table.of(
                    values, group_indices[name], columns, shape
                )
        return cls(
            model,
            groups,
            contents,
            Additive.of(values, group_indices, sizes),
            means,
            tables,
        )

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(groups) for name, groups in self.groups.items()}

    def numbers(self, data: GroupedData, names: Any = None) -> ByLevel:
        """By level, the number of each one's group, -1 if training had none."""
        found = {}
        for name in names or self.groups:
            groups, ids = self.groups[name], data.levels[name].ids
            places = np.searchsorted(groups, ids).clip(max=len(groups) - 1)
            found[name] = np.where(groups[places] == ids, places, -1)
        return found

    def decode(self, contents: ByLevel) -> np.ndarray:
        """What is drawn of contents with no style, `[M, D]`."""
        count = len(next(iter(contents.values())))
        style = np.zeros((count, self.model.style_dim), np.float32)
        parts = []
        for start in range(0, count, BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            some = {name: loc[rows] for name, loc in contents.items()}
            mean = self.model.decode(some, style[rows]).mean().numpy()
            parts.append(mean.reshape(len(mean), -1))
        return np.concatenate(parts)

    def decoded(self, group_indices: ByLevel) -> np.ndarray:
        """What is drawn of training groups, `[M, D]`."""
        return self.decode(
            {
                name: self.contents[name][rows]
                for name, rows in group_indices.items()
            }
        )
