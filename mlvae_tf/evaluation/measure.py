"""Everything that `evaluate.py` reports, and the pictures."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from mlvae_tf import progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import Batching
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import (
    calibration,
    charts,
    drawings,
    explorer,
    judged,
    likelihood,
    notes,
    probes,
    unseen,
)
from mlvae_tf.evaluation.asked import Asked, choose
from mlvae_tf.evaluation.bootstrap import separate
from mlvae_tf.evaluation.doubts import Doubt
from mlvae_tf.evaluation.explorer import Explorer
from mlvae_tf.evaluation.judge import Judge
from mlvae_tf.evaluation.names import Labels
from mlvae_tf.evaluation.posteriors import Counts, Posteriors
from mlvae_tf.evaluation.together import together
from mlvae_tf.model import MLVAE


@dataclasses.dataclass(frozen=True)
class Measured:
    """What `measure` finds.

    Attributes:
        results: What `metrics.json` holds.
        pictures: PNG pictures by name.
        labels: What is drawn in them for the names of groups.
        doubts: What the model fails at, once somebody has looked.
        explorer: Content and style to slide through, if there is any to.
    """

    results: dict[str, Any]
    pictures: dict[str, bytes]
    labels: Labels
    doubts: list[Doubt] = dataclasses.field(default_factory=list)
    explorer: Explorer | None = None


def measure(
    model: MLVAE,
    splits: Splits,
    learned: GroupedData,
    batching: Batching,
    counts: Counts,
    importance_samples: int,
    seed: int,
) -> Measured:
    """Everything that `evaluate.py` reports.

    Without held-out observations of the training groups, that is what the
    unseen groups show, and the bounds are theirs.

    Args:
        model: The model.
        splits: The data that it was trained with.
        learned: What it learned from: with mirrored groups, more than
            `splits.train`.
        batching: How it was batched.
        counts: Evidence counts; None is all of a group's.
        importance_samples: Of the importance-weighted bound.
        seed: Seed of all that is drawn.
    """
    labels = Labels()
    (found, pictures, said), bounds = together(
        lambda: _probed(model, splits, learned, counts, seed, labels),
        lambda: _bounds(
            model, splits.measured, batching, importance_samples, seed
        ),
        what="measuring",
    )
    results = results_of({**found, **bounds}, splits, said)
    if splits.evaluation is not None:
        pictures["accuracy"] = charts.accuracy_curve(results)
    return Measured(
        results,
        pictures,
        labels,
        explorer=explorer.explore(model, splits.measured),
    )


def _probed(
    model: MLVAE,
    splits: Splits,
    learned: GroupedData,
    counts: Counts,
    seed: int,
    labels: Labels,
) -> tuple[dict[str, Any], dict[str, bytes], list[str]]:
    """Figures, pictures and notes of held-out and of unseen groups."""
    found: dict[str, Any] = {}
    said: list[str] = []
    pictures = {"sample": drawings.sample_grid(splits.train, labels=labels)}
    if splits.evaluation is not None:
        found, drawn = _measure_seen(
            model, splits.train, splits.evaluation, counts, seed, labels
        )
        pictures |= drawn
        said = found.pop("notes")
    if splits.unseen is not None:
        found["unseen"], drawn = _measure_unseen(
            model, splits.unseen, learned, seed, labels
        )
        said += notes.of_unseen(splits.unseen)
        pictures |= {f"unseen_{name}": png for name, png in drawn.items()}
    return found, pictures, said


def _bounds(
    model: MLVAE,
    data: GroupedData,
    batching: Batching,
    importance_samples: int,
    seed: int,
) -> dict[str, Any]:
    """The ELBO of groups, and the importance-weighted bound."""
    return {
        **likelihood.group_elbo(model, data, batching, seed),
        **likelihood.log_likelihood(
            model, data, batching, importance_samples, seed
        ),
    }


def results_of(
    found: dict[str, Any], splits: Splits, said: list[str]
) -> dict[str, Any]:
    """Figures as `metrics.json` has them: intervals apart, and of what data."""
    values, intervals = separate(found)
    return {
        **values,
        "intervals": intervals,
        "data": notes.sizes(splits),
        "notes": said,
    }


class Probed(NamedTuple):
    """What contents and styles say of the groups of one level.

    Attributes:
        figures: Of `probes.probe_groups`, and `calibration`.
        pictures: `confusion`, and `calibration` where it is measured.
        notes: What the figures are made of.
    """

    figures: dict[str, Any]
    pictures: dict[str, bytes]
    notes: list[str]


def probe(
    model: MLVAE,
    held_out: GroupedData,
    posteriors: Posteriors,
    chosen: Asked,
    counts: Counts,
    seed: int,
    labels: Labels,
) -> Probed:
    """Ask which group it is, and whether the scale of contents is right.

    Args:
        model: The model.
        held_out: Held-out observations.
        posteriors: Theirs.
        chosen: What is asked.
        counts: Evidence counts.
        seed: Seed of all that is drawn.
        labels: What is drawn for the names of groups.
    """
    found, confused = probes.probe_groups(
        Posteriors.of(model, chosen.some),
        posteriors[chosen.rows],
        counts,
        seed,
        Posteriors.of(model, chosen.train),
    )
    groups = chosen.some.groups
    said = notes.of_counts(held_out[chosen.rows], counts)
    said += notes.of_probes(found, len(groups))
    calibrated = calibration.measure(posteriors, counts, seed)
    found["calibration"] = {k: value.ratio for k, value in calibrated.items()}
    names = list(map(str, groups))
    pictures = {"confusion": charts.confusion(confused, names, labels)}
    if calibrated:
        pictures["calibration"] = charts.calibration(calibrated)
    return Probed(found, pictures, said)


def _measure_seen(
    model: MLVAE,
    train: GroupedData,
    held_out: GroupedData,
    counts: Counts,
    seed: int,
    labels: Labels,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Figures, with notes, and pictures of observations of training groups."""
    posteriors = Posteriors.of(model, held_out)
    chosen = choose(train, held_out, seed)
    probed, real = together(
        lambda: probe(
            model, held_out, posteriors, chosen, counts, seed, labels
        ),
        lambda: Judge(chosen.train, seed),
        what="asking which group it is",
    )
    asked, of_asked = held_out[chosen.rows], posteriors[chosen.rows]
    sizes = len(held_out.groups), len(chosen.some.groups)
    found = {
        **probed.figures,
        "groups": dict(zip(("held_out", "asked"), sizes)),
        "swap": judged.measure(
            model, {held_out.level: real}, asked, of_asked, counts, seed
        ),
        "notes": [
            *notes.of_groups(len(train.groups), *sizes),
            *probed.notes,
        ],
    }
    control = _control(model, held_out, posteriors, labels)
    return found, probed.pictures | control


def _measure_unseen(
    model: MLVAE,
    data: GroupedData,
    learned: GroupedData,
    seed: int,
    labels: Labels,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Figures and pictures of groups never seen in training."""
    posteriors = Posteriors.of(model, data)
    found, curves = unseen.measure(model, posteriors, data, learned, seed)
    pictures = _control(model, data, posteriors, labels)
    if curves:
        pictures["roc"] = charts.roc(curves)
    return found, pictures


def _control(
    model: MLVAE, some: GroupedData, posteriors: Posteriors, labels: Labels
) -> dict[str, bytes]:
    """The pictures of control, and the map, by name."""
    draw = {
        **drawings.of_control(model, some, labels=labels),
        "swap_single": lambda: drawings.swap_grid(
            model, some, evidence_count=1, labels=labels
        ),
        "map": lambda: charts.latent_map(posteriors, labels),
    }
    names = progress.track(draw, len(draw), "drawing", seconds=0)
    return {name: draw[name]() for name in names}
