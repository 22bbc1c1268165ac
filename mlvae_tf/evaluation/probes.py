"""What content and style say about the group: probes."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import confusion_matrix
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tensorflow_probability import distributions as tfd

from mlvae_tf import noise
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation.bootstrap import Estimate, estimate
from mlvae_tf.evaluation.posteriors import Counts, Posteriors

MAX_PROBE_OBSERVATIONS = 20_000
MAX_BOOSTED_GROUPS = 100
MAX_TREES = 1000  # Of gradient boosting, over all groups.
REPEATS = 10


def fit_probe(
    features: np.ndarray, group_ids: np.ndarray, seed: int
) -> Pipeline:
    """Learn to tell the group: an MLP with one hidden layer of 256.

    It stops early on a tenth of what it is given, where that is 100 at least
    and may have every group in it.
    """
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


def _features(posterior: tfd.Normal, sampled: bool, seed: int) -> np.ndarray:
    """Means, or one draw from each posterior."""
    loc = posterior.loc.numpy()
    if not sampled:
        return loc
    generator = noise.generator(seed, noise.Stream.DRAWS)
    draws = generator.normal(size=loc.shape)
    return loc + posterior.scale.numpy() * draws


def check_counts(counts: Counts, test: Posteriors) -> None:
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


Scores = dict[str, Score]


def _content_scores(
    probe: Pipeline,
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
    largest = np.unique(test.group_ids, return_counts=True)[1].max()
    accumulated, unaccumulated = {}, {}
    for count in counts:
        if count is not None and count > largest:
            continue
        # One and all can be dealt in one way only.
        repeats = 1 if count in (1, None) else REPEATS
        passes = [test.deal(count, generator) for _ in range(repeats)]
        accumulated[name(count)] = Score.pooled(
            [
                Score.of(
                    probe,
                    _features(
                        test.accumulate(sets.rows, sets.set_ids),
                        sampled,
                        seed + number,
                    ),
                    sets.group_ids,
                )
                for number, sets in enumerate(passes)
            ]
        )
        unaccumulated[name(count)] = Score.pooled(
            [alone[sets.rows] for sets in passes]
        )
    return accumulated, unaccumulated


def _content_figures(scores: Scores) -> dict[str, Any]:
    return {
        "content_accuracy": {k: s.accuracy() for k, s in scores.items()},
        "content_entropy": {k: s.entropy() for k, s in scores.items()},
    }


def _probe(
    train: Posteriors,
    test: Posteriors,
    counts: Counts,
    sampled: bool,
    seed: int,
) -> tuple[dict[str, Any], Score]:
    """Figures from means or from draws, and the score of single contents."""

    def single(posteriors: Posteriors) -> np.ndarray:
        each = np.arange(len(posteriors.group_ids))
        return _features(posteriors.accumulate(each, each), sampled, seed)

    content_probe = fit_probe(single(train), train.group_ids, seed)
    alone = Score.of(content_probe, single(test), test.group_ids)
    style = _style_score(
        fit_probe,
        _features(train.style, sampled, seed),
        _features(test.style, sampled, seed + 1),
        train,
        test,
        seed,
    )
    accumulated, unaccumulated = _content_scores(
        content_probe, test, alone, counts, sampled, seed
    )
    figures = {
        **_content_figures(accumulated),
        "style_accuracy": style.accuracy(),
        "style_entropy": style.entropy(),
        "unaccumulated": _content_figures(unaccumulated),
    }
    return figures, alone


def _style_score(
    fit: Callable[[np.ndarray, np.ndarray, int], Any],
    learned: np.ndarray,
    asked: np.ndarray,
    train: Posteriors,
    test: Posteriors,
    seed: int,
) -> Score:
    probe = fit(learned, train.group_ids, seed)
    return Score.of(probe, asked, test.group_ids)


def _boost(features: np.ndarray, group_ids: np.ndarray, seed: int) -> Any:
    """Learn to tell the group by gradient boosting."""
    count = len(np.unique(group_ids))
    iterations = int(np.clip(MAX_TREES // count, 10, 100))
    return HistGradientBoostingClassifier(
        max_iter=iterations, random_state=seed
    ).fit(features, group_ids)


def _style_given(
    train: Posteriors, every: Posteriors, test: Posteriors, seed: int
) -> dict[str, Estimate]:
    """What can be told from styles in other ways than from means by the probe.

    Args:
        train: What the probe learns from.
        every: All training observations, for gradient boosting.
        test: What they are scored on.
        seed: Seed of the probe.

    Returns:
        Accuracies by way.
    """
    ways = {"means": lambda of: of.style.loc.numpy()}
    scales = np.log(train.style.scale.numpy())
    if np.ptp(scales, axis=0).max() > 1e-6:  # Else they are the same.
        ways["means and log-scales"] = lambda of: np.concatenate(
            [of.style.loc, np.log(of.style.scale)], axis=1
        )
    found = {}
    for name, features in ways.items():
        if name != "means":
            score = _style_score(
                fit_probe, features(train), features(test), train, test, seed
            )
            found[name] = score.accuracy()
        if len(np.unique(train.group_ids)) <= MAX_BOOSTED_GROUPS:
            score = _style_score(
                _boost, features(every), features(test), every, test, seed
            )
            found[f"{name}, boosted"] = score.accuracy()
    return found


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
        test: What they are scored on.
        counts: The k; None is all of a group's.
        seed: Seed of probes and divisions.
        every: All training observations, which gradient boosting learns from;
            by default those of `train`.

    Returns:
        `(figures, confusion)`. Figures are `content_accuracy` and
        `content_entropy` by k; `style_accuracy`, the largest of `style_given`,
        which has it by way: from means, from draws, from means and log-scales
        where these differ, by the probe and by gradient boosting where there
        are at most 100 groups; `style_entropy`, from means; under
        `unaccumulated` what each of the same observations says alone; under
        `sampled` the same from draws of the posteriors instead of the means,
        with probes of their own; all of them estimates; and
        `chance_accuracy`, that of always naming the most frequent group.
        Entropies are the probe's cross-entropy in nats: upper bounds of
        H(group | content) and H(group | style). Confusion is of single
        observations, rows the true groups, both in order.

    Raises:
        InputError: If there is one group only, or none has as many
            observations as the counts ask for.
    """
    groups = np.unique(train.group_ids)
    if len(groups) < 2:
        raise InputError("a probe needs at least two groups: got one.")
    check_counts(counts, test)
    figures, alone = _probe(train, test, counts, False, seed)
    sizes = np.unique(test.group_ids, return_counts=True)[1]
    figures["sampled"], _ = _probe(train, test, counts, True, seed)
    given = {
        "means": figures["style_accuracy"],
        "draws": figures["sampled"]["style_accuracy"],
        **_style_given(train, every or train, test, seed),
    }
    figures["style_given"] = given
    figures["style_accuracy"] = max(given.values(), key=lambda e: e.value)
    figures["chance_accuracy"] = float(sizes.max() / sizes.sum())
    return figures, confusion_matrix(test.group_ids, alone.named, labels=groups)
