"""What content and style say about the group: probes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from mlvae_tf import noise
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import classifiers, styles
from mlvae_tf.evaluation.bootstrap import Estimate, estimate
from mlvae_tf.evaluation.classifiers import Probe
from mlvae_tf.evaluation.posteriors import (
    Counts,
    Posteriors,
    check_counts,
    in_words,
    largest_count,
)
from mlvae_tf.evaluation.together import together

MAX_PROBE_OBSERVATIONS = 20_000
MAX_BOOSTED_GROUPS = 100
REPEATS = 10


@dataclasses.dataclass(frozen=True)
class Score:
    """What a probe says, one entry per feature vector.

    Attributes:
        named: The group that it names, `[M]`.
        right: Whether that is the group, `[M]`.
        nats: Minus the log probability that it gives to the group, `[M]`.
        units: How many of the M were measured apart from each other; the rest
            are further passes over the same observations.
    """

    named: np.ndarray
    right: np.ndarray
    nats: np.ndarray
    units: int

    @classmethod
    def of(
        cls, probe: Probe, features: np.ndarray, group_ids: np.ndarray
    ) -> Score:
        """Ask the probe."""
        named = probe.names(features)
        nats = probe.nats(features, group_ids)
        return cls(named, named == group_ids, nats, len(group_ids))

    @staticmethod
    def pooled(passes: list[Score]) -> Score:
        """Several passes over the same observations as one score."""
        return Score(
            np.concatenate([one.named for one in passes]),
            np.concatenate([one.right for one in passes]),
            np.concatenate([one.nats for one in passes]),
            passes[0].units,
        )

    def __getitem__(self, rows: np.ndarray) -> Score:
        return Score(
            self.named[rows], self.right[rows], self.nats[rows], len(rows)
        )

    def accuracy(self) -> Estimate:
        """The fraction named right."""
        return estimate(self.right, self.units)

    def entropy(self) -> Estimate:
        """The cross-entropy in nats."""
        return estimate(self.nats, self.units)


Scores = dict[str, Score]


def _content_scores(
    probe: Probe,
    test: Posteriors,
    alone: Score,
    counts: Counts,
    sampled: bool,
    seed: int,
) -> tuple[Scores, Scores]:
    """By count, scores of accumulated contents and of what was accumulated.

    Args:
        probe: The probe.
        test: What it is asked about.
        alone: What it says of every single observation.
        counts: The counts.
        sampled: Whether contents are drawn.
        seed: Seed of divisions and draws.
    """
    generator = noise.generator(seed, noise.Stream.DIVISIONS)
    largest = largest_count(test)
    possible = [count for count in counts if count is None or count <= largest]
    accumulated, unaccumulated = {}, {}
    for count in possible:
        # One and all can be dealt in one way only.
        repeats = 1 if count in (1, None) else REPEATS
        passes = [test.deal(count, generator) for _ in range(repeats)]
        accumulated[in_words(count)] = Score.pooled(
            [
                Score.of(
                    probe,
                    styles.features(
                        test.accumulate(sets.rows, sets.set_ids),
                        sampled,
                        seed + number,
                    ),
                    sets.group_ids,
                )
                for number, sets in enumerate(passes)
            ]
        )
        unaccumulated[in_words(count)] = Score.pooled(
            [alone[sets.rows] for sets in passes]
        )
    return accumulated, unaccumulated


def _content_figures(scores: Scores) -> dict[str, Any]:
    return {
        "content_accuracy": {k: s.accuracy() for k, s in scores.items()},
        "content_entropy": {k: s.entropy() for k, s in scores.items()},
    }


def _content(
    train: Posteriors,
    test: Posteriors,
    counts: Counts,
    sampled: bool,
    seed: int,
) -> tuple[dict[str, Any], Score]:
    """Figures from means or from draws, and the score of single contents."""

    def single(posteriors: Posteriors) -> np.ndarray:
        each = np.arange(len(posteriors.group_ids))
        return styles.features(posteriors.accumulate(each, each), sampled, seed)

    probe = classifiers.fit_probe(single(train), train.group_ids, seed)
    alone = Score.of(probe, single(test), test.group_ids)
    accumulated, unaccumulated = _content_scores(
        probe, test, alone, counts, sampled, seed
    )
    figures = {
        **_content_figures(accumulated),
        "content_named_by": probe.best,
        "unaccumulated": _content_figures(unaccumulated),
    }
    return figures, alone


def probe_groups(
    train: Posteriors,
    test: Posteriors,
    counts: Counts,
    seed: int,
    every: Posteriors | None = None,
) -> tuple[dict[str, Any], np.ndarray]:
    """Classify the group from content and from style.

    Probes learn from single training observations and are scored on test
    observations: from content with the evidence of k of a group's accumulated,
    over ten random divisions, and from style.

    Args:
        train: What the probes learn from.
        test: What they are scored on, of groups that are there too.
        counts: The k; None is all of a group's. Those that fewer than two
            groups have observations for are left out.
        seed: Seed of probes and divisions.
        every: All training observations, which gradient boosting learns from;
            by default those of `train`.

    Returns:
        `(figures, confusion)`. Figures are `content_accuracy` and
        `content_entropy` by k, and `content_named_by`, the kind of classifier
        that `classifiers.fit_probe` finds best; `style_accuracy`, the largest
        of `style_given`, which has it by what is read (means, draws, means and
        log-scales where these differ) and by every kind of classifier,
        gradient boosting where there are at most 100 groups;
        `style_named_by`, which is the largest; `style_chance`, what the
        largest would be were styles dealt at random; `style_entropy`, from
        means;
        all of these are left out where there is no style; under
        `unaccumulated` what each of the same observations says alone;
        under `sampled` the same from draws of the posteriors instead of the
        means, with probes of their own; all of them estimates; and
        `chance_accuracy`, that of always naming the most frequent group.
        Entropies are a network's cross-entropy in nats: upper bounds of
        H(group | content) and H(group | style). Confusion is of single
        observations, rows the true groups, both in order.

    Raises:
        InputError: If there is one group only, or no two have as many
            observations as the counts ask for.
    """
    groups = np.unique(train.group_ids)
    if len(groups) < 2 or len(np.unique(test.group_ids)) < 2:
        raise InputError("a probe needs at least two groups: got one.")
    check_counts(counts, test)
    ways = styles.ways(train, seed) if test.style.loc.shape[-1] else {}
    trees = every or train if len(groups) <= MAX_BOOSTED_GROUPS else None

    def of_style(name: str) -> Callable[[], styles.Told]:
        learns = None if name == "draws" else trees
        return partial(styles.tell, ways[name], train, learns, test, seed)

    (figures, alone), (sampled, _), *of_styles = together(
        partial(_content, train, test, counts, False, seed),
        partial(_content, train, test, counts, True, seed),
        *map(of_style, ways),
        what="probing",
    )
    sizes = np.unique(test.group_ids, return_counts=True)[1]
    figures |= {
        "sampled": sampled,
        "chance_accuracy": float(sizes.max() / sizes.sum()),
    }
    if ways:
        told = dict(zip(ways, of_styles))
        figures |= styles.figures(told, test.group_ids)
        drawn = told["draws"].named.values()
        right = [estimate(named == test.group_ids) for named in drawn]
        sampled["style_accuracy"] = max(right)
        sampled["style_entropy"] = told["draws"].entropy
    return figures, confusion_matrix(test.group_ids, alone.named, labels=groups)
