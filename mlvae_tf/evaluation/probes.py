"""What content and style say about the group: probes."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import tensorflow_probability as tfp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import confusion_matrix
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mlvae_tf.errors import InputError
from mlvae_tf.evaluation.bootstrap import interval
from mlvae_tf.evaluation.posteriors import Posteriors

tfd = tfp.distributions
MAX_PROBE_OBSERVATIONS = 20_000
REPEATS = 10


def fit_probe(
    features: np.ndarray, group_ids: np.ndarray, seed: int
) -> Pipeline:
    """Learn to tell the group: an MLP with one hidden layer of 256.

    It stops early on a tenth of what it is given, where that is 100 at least
    and may have every group in it.
    """
    if len(features) > MAX_PROBE_OBSERVATIONS:
        generator = np.random.default_rng(seed)
        rows = generator.permutation(len(features))[:MAX_PROBE_OBSERVATIONS]
        features, group_ids = features[rows], group_ids[rows]
    groups, counts = np.unique(group_ids, return_counts=True)
    early = counts.min() >= 2 and len(features) // 10 >= max(len(groups), 100)
    probe = make_pipeline(
        StandardScaler(),
        MLPClassifier(256, early_stopping=early, random_state=seed),
    )
    with warnings.catch_warnings():
        # Whether 200 epochs were enough is seen in what the probe scores.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(features, group_ids)


@dataclasses.dataclass(frozen=True)
class Score:
    """What a probe says, one entry a feature vector.

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
        cls, probe: Pipeline, features: np.ndarray, group_ids: np.ndarray
    ) -> Score:
        """Ask the probe."""
        probabilities = probe.predict_proba(features)
        named = probe.classes_[probabilities.argmax(axis=1)]
        columns = np.searchsorted(probe.classes_, group_ids)
        given = probabilities[np.arange(len(columns)), columns]
        nats = -np.log(np.maximum(given, np.finfo(given.dtype).eps))
        return cls(named, named == group_ids, nats, len(group_ids))

    @staticmethod
    def pooled(passes: list[Score]) -> Score:
        """Several passes over the same observations as one score."""
        return Score(
            *(
                np.concatenate([getattr(p, name) for p in passes])
                for name in ("named", "right", "nats")
            ),
            passes[0].units,
        )

    def accuracy(self) -> tuple[float, list[float]]:
        """The fraction named right, and its interval."""
        return float(self.right.mean()), interval(self.right, self.units)

    def entropy(self) -> tuple[float, list[float]]:
        """The cross-entropy in nats, and its interval."""
        return float(self.nats.mean()), interval(self.nats, self.units)


def _features(posterior: tfd.Normal, sampled: bool, seed: int) -> np.ndarray:
    """Means, or one draw from each posterior."""
    loc = posterior.loc.numpy()
    if not sampled:
        return loc
    noise = np.random.default_rng([seed, 2]).normal(size=loc.shape)
    return loc + posterior.scale.numpy() * noise


def check_counts(counts: tuple[int | None, ...], test: Posteriors) -> None:
    """Raise `InputError` where no group has as many observations."""
    largest = np.unique(test.group_ids, return_counts=True)[1].max()
    if min(count or 1 for count in counts) > largest:
        raise InputError(
            f"--evidence_counts must have one of at most {largest}, the "
            "held-out observations of the largest group: got "
            f"{', '.join(map(str, counts))}."
        )


def name(count: int | None) -> str:
    """An evidence count in words: None is all that there are."""
    return "all" if count is None else str(count)


def _content_scores(
    probe: Pipeline,
    test: Posteriors,
    counts: tuple[int | None, ...],
    sampled: bool,
    seed: int,
) -> dict[str, Score]:
    """Scores of accumulated contents by count."""
    generator = np.random.default_rng(seed)
    largest = np.unique(test.group_ids, return_counts=True)[1].max()
    scores = {}
    for count in counts:
        if count is not None and count > largest:
            continue
        passes = []
        # One and all can be dealt in one way only.
        for repeat in range(1 if count in (1, None) else REPEATS):
            sets = test.deal(count, generator)
            content = test.accumulate(sets.rows, sets.set_ids)
            features = _features(content, sampled, seed + repeat)
            passes.append(Score.of(probe, features, sets.group_ids))
        scores[name(count)] = Score.pooled(passes)
    return scores


def _alone(
    single: Score, test: Posteriors, counts: tuple[int | None, ...], seed: int
) -> dict[str, Score]:
    """Scores of the same observations, each by its own content."""
    generator = np.random.default_rng(seed)
    scores = {}
    for count in counts:
        rows = test.deal(count, generator).rows
        if len(rows):
            scores[name(count)] = Score(
                *(part[rows] for part in (single.named, single.right)),
                single.nats[rows],
                len(rows),
            )
    return scores


def _table(scores: dict[str, Score]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Accuracies and entropies by count, and their intervals."""
    pairs = {
        "content_accuracy": {k: s.accuracy() for k, s in scores.items()},
        "content_entropy": {k: s.entropy() for k, s in scores.items()},
    }
    values, intervals = (
        {
            key: {k: pair[part] for k, pair in column.items()}
            for key, column in pairs.items()
        }
        for part in (0, 1)
    )
    return values, intervals


def probe_groups(
    train: Posteriors,
    test: Posteriors,
    counts: tuple[int | None, ...],
    seed: int,
) -> tuple[dict[str, Any], np.ndarray]:
    """Classify the group from content and from style.

    Probes learn from single training observations and are scored on test
    observations: from content with the evidence of k of a group's accumulated,
    over ten random divisions, and from style.

    Args:
        train: What the probes learn from.
        test: What they are scored on.
        counts: The k; None is all of a group's.
        seed: Seed of probes and divisions.

    Returns:
        `(results, confusion)`. Results are `content_accuracy` and
        `content_entropy` by k; `style_accuracy`, `style_entropy` and
        `chance_accuracy`, that of always naming the most frequent group; under
        `unaccumulated` what each of the same observations says alone; under
        `sampled` the same from draws of the posteriors, with probes of their
        own, instead of the means; and under `intervals` the 95% bootstrap
        intervals of all. Entropies are the probe's cross-entropy in nats:
        upper bounds of H(group | content) and H(group | style). Confusion is
        of single observations, rows the true groups, both in order.
    """
    if len(np.unique(train.group_ids)) < 2:
        raise InputError("a probe needs at least two groups: got one.")
    check_counts(counts, test)
    everything = np.arange(len(train.group_ids))
    alone = train.accumulate(everything, everything)
    single = np.arange(len(test.group_ids))
    results: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for sampled in (False, True):
        content_probe = fit_probe(
            _features(alone, sampled, seed), train.group_ids, seed
        )
        style_probe = fit_probe(
            _features(train.style, sampled, seed), train.group_ids, seed
        )
        values, bounds = _table(
            _content_scores(content_probe, test, counts, sampled, seed)
        )
        style = Score.of(
            style_probe,
            _features(test.style, sampled, seed + 1),
            test.group_ids,
        )
        for key, measured in (
            ("style_accuracy", style.accuracy()),
            ("style_entropy", style.entropy()),
        ):
            values[key], bounds[key] = measured
        if sampled:
            results["sampled"], intervals["sampled"] = values, bounds
            continue
        results |= values
        intervals |= bounds
        own = Score.of(
            content_probe,
            test.accumulate(single, single).loc.numpy(),
            test.group_ids,
        )
        results["unaccumulated"], intervals["unaccumulated"] = _table(
            _alone(own, test, counts, seed)
        )
        confusion = confusion_matrix(
            test.group_ids, own.named, labels=np.unique(train.group_ids)
        )
    sizes = np.unique(test.group_ids, return_counts=True)[1]
    results["chance_accuracy"] = float(sizes.max() / sizes.sum())
    results["intervals"] = intervals
    return results, confusion
