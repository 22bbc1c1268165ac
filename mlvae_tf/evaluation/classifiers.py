"""What learns to name the group of a vector, and which of them serves best.

From the simplest to the most flexible:

    prototypes   the group of which the mean is nearest
    neighbours   the most frequent group of the ten nearest vectors
    network      an MLP with two hidden layers of 256
    boosted      gradient-boosted trees, a set of them per group

What each costs hardly grows with the number of groups, but for the last.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlvae_tf import noise, progress
from mlvae_tf.evaluation.representations import group_means
from mlvae_tf.evaluation.together import alone_and_quiet

HIDDEN = 256, 256
MAX_STEPS = 6000  # Of a network.
PATIENCE = 20  # Epochs without a gain before it ends.
LEAST_GAIN = 1e-3  # Nats.
NEIGHBOURS = 10
MAX_TREES = 1000  # Of gradient boosting, over all groups.

Array = np.ndarray


class Prototypes:
    """The mean of every group."""

    def __init__(self, features: Array, group_ids: Array) -> None:
        self._groups, group_index = np.unique(group_ids, return_inverse=True)
        self._means = group_means(features, group_index)

    def predict(self, features: Array) -> Array:
        """The group of which the mean is nearest to each, `[N]`."""
        points = features.astype(self._means.dtype)
        return self._groups[pairwise_distances_argmin(points, self._means)]


def neighbours(features: Array, group_ids: Array) -> Any:
    """Remember all of them, in units of their deviations."""
    nearest = KNeighborsClassifier(min(NEIGHBOURS, len(features)))
    return make_pipeline(StandardScaler(), nearest).fit(features, group_ids)


def boosted(features: Array, group_ids: Array, seed: int) -> Any:
    """Learn by gradient boosting, at most about a thousand trees."""
    count = len(np.unique(group_ids))
    iterations = int(np.clip(MAX_TREES // count, 10, 100))
    trees = HistGradientBoostingClassifier(
        max_iter=iterations, random_state=seed
    )
    with alone_and_quiet():
        return trees.fit(features, group_ids)


class Network:
    """An MLP that learns epoch by epoch.

    Attributes:
        classes_: The groups, in the order of `predict_proba`.
    """

    def __init__(self, features: Array, group_ids: Array, seed: int) -> None:
        self.classes_ = np.unique(group_ids)
        self._scaler = StandardScaler().fit(features)
        self._features = self._scaler.transform(features)
        self._group_ids = group_ids
        self._network = MLPClassifier(
            HIDDEN,
            # A number would give every epoch the same order.
            random_state=np.random.RandomState(seed),
        )

    def learn(self, epochs: int = 1) -> Network:
        """Learn for so many epochs."""
        for _ in range(epochs):
            self._network.partial_fit(
                self._features, self._group_ids, classes=self.classes_
            )
        return self

    def learn_as_long_as_it_helps(
        self, features: Array, group_ids: Array
    ) -> tuple[int, Array]:
        """Learn until it tells no more of others.

        Args:
            features: The others, `[N, dim]`.
            group_ids: Their groups, `[N]`.

        Returns:
            The epochs after which its cross-entropy was least, and which of
            the others it then named right, `[N]`.
        """
        batch = min(200, len(self._features))  # That of `MLPClassifier`.
        limit = max(PATIENCE, MAX_STEPS * batch // len(self._features))
        least, epochs, right = np.inf, 0, np.zeros(len(group_ids), bool)
        with progress.bar(limit, "a probe learns", "epoch") as shown:
            for epoch in range(1, limit + 1):
                self.learn()
                found = self.nats(features, group_ids).mean()
                if not epochs or found < least - LEAST_GAIN:
                    least, epochs = found, epoch
                    right = self.predict(features) == group_ids
                if epoch - epochs >= PATIENCE:
                    break
                shown.update()
        return epochs, right

    def predict_proba(self, features: Array) -> Array:
        """The probability of each group, `[N, G]`."""
        return self._network.predict_proba(self._scaler.transform(features))

    def predict(self, features: Array) -> Array:
        """The most probable group of each, `[N]`."""
        return self.classes_[self.predict_proba(features).argmax(axis=1)]

    def nats(self, features: Array, group_ids: Array) -> Array:
        """Minus the log probability of the true groups, `[N]`."""
        probabilities = self.predict_proba(features)
        columns = np.searchsorted(self.classes_, group_ids)
        given = probabilities[np.arange(len(columns)), columns]
        return -np.log(np.maximum(given, np.finfo(given.dtype).eps))


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """Classifiers that learned from the same vectors.

    Attributes:
        kinds: By the name of their kind, the simplest first.
        best: The name of the kind that is asked unless another is.
    """

    kinds: dict[str, Any]
    best: str

    def names(self, features: Array, kind: str | None = None) -> Array:
        """The groups that one of them names, `[N]`."""
        with alone_and_quiet():
            return self.kinds[kind or self.best].predict(features)

    def nats(self, features: Array, group_ids: Array) -> Array:
        """Minus the log probability that the network gives to the groups."""
        with alone_and_quiet():
            return self.kinds["network"].nats(features, group_ids)


def fit_probe(features: Array, group_ids: Array, seed: int) -> Probe:
    """Learn to name the group: all kinds but boosting.

    They learn from four fifths and are asked about the last fifth, which tells
    for how many epochs the network is to learn, by its cross-entropy, and
    which kind is best: the simplest that names no fewer right than the one
    that names most, but for what may be chance. Then all learn anew, from all.

    Args:
        features: `[N, dim]`.
        group_ids: `[N]`.
        seed: Seed of the division, of weights and batches.

    References:
        Breiman, Friedman, Olshen and Stone 1984, Classification and Regression
        Trees, Section 3.4.3: the rule of one standard error.
    """
    asked = _fifth(group_ids, seed)
    epochs, right = PATIENCE, {}
    with alone_and_quiet():
        if asked.any():
            tried = _kinds(features[~asked], group_ids[~asked], seed)
            others = features[asked], group_ids[asked]
            network = tried.pop("network")
            for kind, one in tried.items():
                right[kind] = one.predict(others[0]) == others[1]
            epochs, right["network"] = network.learn_as_long_as_it_helps(
                *others
            )
        kinds = _kinds(features, group_ids, seed)
        kinds["network"].learn(epochs)
    return Probe(kinds, simplest(right) if right else next(iter(kinds)))


def simplest(right: dict[str, Array]) -> str:
    """The first that may be as good as the best.

    Args:
        right: What each names right, bool `[N]`; the simplest comes first.

    Returns:
        The first that the best does not beat by more than a standard deviation
        of that number, were those where one alone is right as likely to be the
        one's as the other's.
    """
    best = max(right.values(), key=np.count_nonzero)
    return next(
        kind
        for kind, one in right.items()
        if np.sum(best) - np.sum(one) <= np.sqrt(np.sum(best != one))
    )


def _kinds(features: Array, group_ids: Array, seed: int) -> dict[str, Any]:
    """All kinds, the network new."""
    return {
        "prototypes": Prototypes(features, group_ids),
        "neighbours": neighbours(features, group_ids),
        "network": Network(features, group_ids, seed),
    }


def _fifth(group_ids: Array, seed: int) -> Array:
    """Mask of a fifth of each group, at least one where there are two."""
    generator = noise.generator(seed, noise.Stream.PROBE)
    order = generator.permutation(len(group_ids))
    order = order[np.argsort(group_ids[order], kind="stable")]
    sizes = np.unique(group_ids, return_counts=True)[1]
    spared = np.where(sizes > 1, np.maximum(sizes // 5, 1), 0)
    places = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    mask = np.zeros(len(order), bool)
    mask[order] = places < np.repeat(spared, sizes)
    return mask
