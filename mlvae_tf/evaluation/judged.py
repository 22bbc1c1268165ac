"""Does a swapped observation bear the group that gave its content?

A judge, who never sees the model, is asked about observations with one group's
content and another group's style.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from mlvae_tf import noise
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation.asked import choose
from mlvae_tf.evaluation.bootstrap import estimate
from mlvae_tf.evaluation.judge import Judge
from mlvae_tf.evaluation.posteriors import CHUNK, Counts, Posteriors, in_words
from mlvae_tf.model import MLVAE

MAX_SWAPS = 2000


def measure(
    model: MLVAE,
    judges: dict[str, Judge],
    held_out: GroupedData,
    posteriors: Posteriors,
    counts: Counts,
    seed: int,
) -> dict[str, Any]:
    """Ask the judge about swaps between held-out observations.

    For every k, contents of k accumulated observations meet styles of single
    observations of other groups, at most 2,000 pairs. With several levels
    contents are those of the observations' first one, and what they meet is
    all else that single observations say.

    Args:
        model: The model.
        judges: By level; who swaps are asked of is the observations' first
            level's.
        held_out: Real observations, of groups that the judge knows.
        posteriors: Theirs.
        counts: The k; None is all of a group's.
        seed: Seed of the pairs.

    Returns:
        `judge_accuracy` on the real observations; by k, `content_group` and
        `style_group`, the fractions that are given the group of the content
        donor and of the style donor; and with several levels `kept`, by every
        other one with a judge, the fraction that its judge gives the group of
        the style donor, of contents of the last k. All are estimates.
    """
    judge = judges[held_out.level]
    named = np.concatenate(
        [judge.names(values) for values, _ in held_out.chunks(CHUNK)]
    )
    by_content, by_style = {}, {}
    generator = noise.generator(seed, noise.Stream.SWAPS)
    decode = _Receivers(model, held_out, posteriors)
    receivers, swapped = np.empty(0, int), np.empty(0)
    for count in counts:
        sets = posteriors.deal(count, generator)
        if len(np.unique(sets.group_ids)) < 2:
            continue
        contents = posteriors.accumulate(sets.rows, sets.set_ids).loc.numpy()
        donors, receivers = _pairs(
            sets.group_ids, posteriors.group_ids, generator
        )
        swapped = decode(contents[donors], receivers)
        swapped_as, name = judge.names(swapped), in_words(count)
        by_content[name] = estimate(swapped_as == sets.group_ids[donors])
        of_style = posteriors.group_ids[receivers]
        by_style[name] = estimate(swapped_as == of_style)
    kept = _kept(judges, held_out, receivers, swapped)
    found = {
        "judge_accuracy": estimate(named == held_out.group_ids),
        "content_group": by_content,
        "style_group": by_style,
    }
    return {**found, "kept": kept} if kept else found


def _pairs(
    donating: np.ndarray, receiving: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Deal donors to receivers of other groups, at most 2,000.

    Args:
        donating: The group of each donor, `[M]`.
        receiving: The group of each receiver, `[N]`.
        generator: Makes the choices.

    Returns:
        `(donors, receivers)`, places in both, as many.
    """
    size = min(MAX_SWAPS, max(len(donating), len(receiving)))
    donors = generator.permutation(np.resize(np.arange(len(donating)), size))
    receivers = generator.integers(0, len(receiving), size)
    apart = donating[donors] != receiving[receivers]
    return donors[apart], receivers[apart]


class _Receivers:
    """What single observations say, to be drawn with other contents.

    Args:
        model: The model.
        data: The observations, whose first level is the contents'.
        posteriors: Theirs.
    """

    def __init__(
        self, model: MLVAE, data: GroupedData, posteriors: Posteriors
    ) -> None:
        self._model, self._level = model, data.level
        self._styles = posteriors.style.loc.numpy()
        self._others = None
        if len(model.levels) > 1:
            self._others = {
                level.name: Posteriors.of(model, data.on(level.name)).content
                for level in model.codec.drawn
                if level.name != data.level
            }

    def __call__(self, contents: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Draw some of them with these contents, `[n, *observation_shape]`."""
        given: Any = tf.constant(contents)
        if self._others is not None:
            given = {self._level: given} | {
                name: tf.gather(other.loc, rows)
                for name, other in self._others.items()
            }
        drawn = self._model.decode(given, tf.constant(self._styles[rows]))
        return drawn.mean().numpy()


def _kept(
    judges: dict[str, Judge],
    data: GroupedData,
    rows: np.ndarray,
    swapped: np.ndarray,
) -> dict[str, Any]:
    """By other level, how often swaps are given the group of the receiver.

    Args:
        judges: By level.
        data: Observations, whose first level is the contents'.
        rows: The receiver of each swap among them.
        swapped: The swaps, as many.
    """
    found = {}
    for level, judge in judges.items():
        ids = data.levels[level].ids[rows]
        known = np.isin(ids, judge.groups)
        if level != data.level and known.any():
            named = judge.names(swapped[known])
            found[level] = estimate(named == ids[known])
    return found


def of_levels(
    model: MLVAE, splits: Splits, counts: Counts, seed: int
) -> dict[str, dict[str, Any]]:
    """Ask about swaps of every level that the decoder reads.

    Args:
        model: The model.
        splits: The data that it was trained with.
        counts: The k; None is all of a group's.
        seed: Seed of judges and pairs.

    Returns:
        By level that has two groups to tell apart, what `measure` finds.
    """
    held_out = splits.evaluation
    if held_out is None:
        return {}
    judges: dict[str, Judge] = {}
    rows = {}
    for name in (level.name for level in model.codec.drawn):
        chosen = choose(splits.train.on(name), held_out.on(name), seed)
        if len(chosen.some.groups) > 1:
            judges[name] = Judge(chosen.train, seed)
            rows[name] = chosen.rows
    found = {}
    for name in judges:
        asked = held_out.on(name)[rows[name]]
        posteriors = Posteriors.of(model, asked)
        found[name] = measure(model, judges, asked, posteriors, counts, seed)
    return found
