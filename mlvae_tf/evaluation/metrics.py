"""What content and style say about the group: probes, and the ELBO."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mlvae_tf.data.grouping import Batches, GroupedData, make_dataset, scale
from mlvae_tf.errors import InputError
from mlvae_tf.layers import EvidenceAccumulation

if TYPE_CHECKING:
    from mlvae_tf.model import MLVAE

tfd = tfp.distributions
MAX_PROBE_OBSERVATIONS = 20_000


@dataclasses.dataclass(frozen=True)
class Posteriors:
    """The posteriors of a set of observations.

    Attributes:
        content: What each proposes for its group's content, batch shape
            `[N, content_dim]`.
        style: Style posteriors, batch shape `[N, style_dim]`.
        group_ids: `[N]`.
        accumulation: What makes a group's content of the proposals.
    """

    content: tfd.Normal
    style: tfd.Normal
    group_ids: np.ndarray
    accumulation: EvidenceAccumulation

    @classmethod
    def of(cls, model: MLVAE, data: GroupedData) -> Posteriors:
        """Infer them."""
        content, style = model.infer_observations(
            scale(data.observations).numpy()
        )
        return cls(content, style, data.group_ids, model.accumulation)

    def deal(
        self, count: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Deal every group out at random into disjoint sets of `count`.

        Returns:
            `(rows, group_ids)`: the members of each set `[M, count]`, and the
            group of each set `[M]`. What is left over is left out.
        """
        rows, groups = [], []
        for group in np.unique(self.group_ids):
            members = np.flatnonzero(self.group_ids == group)
            sets = len(members) // count
            members = generator.permutation(members)[: sets * count]
            rows.append(members.reshape(sets, count))
            groups.append(np.repeat(group, sets))
        return np.concatenate(rows), np.concatenate(groups)

    def accumulate(self, rows: np.ndarray) -> tfd.Normal:
        """The content of each set of observations.

        Args:
            rows: `[M, count]`, the members of each set.

        Returns:
            The posterior, batch shape `[M, content_dim]`.
        """
        flat = rows.ravel()
        return self.accumulation(
            tf.gather(self.content.loc, flat),
            tf.gather(self.content.scale, flat),
            np.repeat(np.arange(len(rows)), rows.shape[1]),
            num_groups=len(rows),
        )


def fit_probe(
    features: np.ndarray, group_ids: np.ndarray, seed: int
) -> Pipeline:
    """Learn to tell the group: an MLP with one hidden layer of 256.

    It stops early on a tenth of what it is given, unless that is too little to
    have every group in it.
    """
    if len(features) > MAX_PROBE_OBSERVATIONS:
        generator = np.random.default_rng(seed)
        rows = generator.permutation(len(features))[:MAX_PROBE_OBSERVATIONS]
        features, group_ids = features[rows], group_ids[rows]
    groups, counts = np.unique(group_ids, return_counts=True)
    early = counts.min() >= 2 and len(features) // 10 >= len(groups)
    probe = make_pipeline(
        StandardScaler(),
        MLPClassifier(256, early_stopping=early, random_state=seed),
    )
    with warnings.catch_warnings():
        # Whether 200 epochs were enough is seen in what the probe scores.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(features, group_ids)


def _score(
    probe: Pipeline, features: np.ndarray, group_ids: np.ndarray
) -> tuple[float, float]:
    """Accuracy, and cross-entropy in nats."""
    probabilities = probe.predict_proba(features)
    entropy = log_loss(group_ids, probabilities, labels=probe.classes_)
    return probe.score(features, group_ids), entropy


def probe_groups(
    train: Posteriors,
    test: Posteriors,
    evidence_counts: tuple[int, ...],
    seed: int,
    repeats: int = 10,
) -> dict[str, Any]:
    """Classify the group from content and from style.

    Probes learn from the means of single training observations. They are
    scored on test observations: from content with the evidence of k of a
    group's accumulated, over `repeats` random divisions for k > 1.

    Returns:
        `content_accuracy` and `content_entropy` by k, `style_accuracy`,
        `style_entropy` and `chance_accuracy`, that of always naming the most
        frequent group. Entropies are the probe's cross-entropy in nats: upper
        bounds of H(group | content) and H(group | style).
    """
    _, sizes = np.unique(test.group_ids, return_counts=True)
    if len(np.unique(train.group_ids)) < 2:
        raise InputError("a probe needs at least two groups: got one.")
    if min(evidence_counts) > sizes.max():
        raise InputError(
            f"--evidence_counts must have one of at most {sizes.max()}, the "
            "held-out observations of the largest group: got "
            f"{', '.join(map(str, evidence_counts))}."
        )
    alone = train.accumulate(np.arange(len(train.group_ids))[:, np.newaxis])
    content_probe = fit_probe(alone.loc.numpy(), train.group_ids, seed)
    style_probe = fit_probe(train.style.loc.numpy(), train.group_ids, seed)
    generator = np.random.default_rng(seed)
    accuracy, entropy = {}, {}
    for count in sorted(evidence_counts):
        if count > sizes.max():
            continue
        scores = []
        for _ in range(repeats if count > 1 else 1):
            sets, group_ids = test.deal(count, generator)
            loc = test.accumulate(sets).loc.numpy()
            scores.append(_score(content_probe, loc, group_ids))
        accuracy[str(count)], entropy[str(count)] = np.mean(scores, 0).tolist()
    style = _score(style_probe, test.style.loc.numpy(), test.group_ids)
    return {
        "content_accuracy": accuracy,
        "style_accuracy": style[0],
        "chance_accuracy": float(sizes.max() / sizes.sum()),
        "content_entropy": entropy,
        "style_entropy": style[1],
    }


def group_elbo(
    model: MLVAE, data: GroupedData, batches: Batches, seed: int
) -> dict[str, float]:
    """The averaged group ELBO and its terms, nats a group.

    The groups are dealt out as in training: the ELBO of a group depends on how
    many observations it has.
    """
    terms = model.evaluate(
        make_dataset(data, batches, seed), verbose=0, return_dict=True
    )
    names = {
        "group_elbo": "elbo",
        "group_reconstruction": "reconstruction",
        "group_content_kl": "content_kl",
        "group_style_kl": "style_kl",
    }
    return {name: terms[term] for name, term in names.items()}
