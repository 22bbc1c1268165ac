"""Everything that `evaluate.py` reports, and the pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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

Drawing = Callable[[], bytes]


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
    held_out = _HeldOut(
        _inferred(model, splits.evaluation), _inferred(model, splits.unseen)
    )
    # The pictures come last: whoever is done with the bounds begins them.
    probed, bounds, (pictures, slid) = together(
        lambda: _probed(model, splits, held_out, learned, counts, seed, labels),
        lambda: likelihood.bounds(
            model, splits.measured, batching, importance_samples, seed
        ),
        lambda: _drawn(model, splits, held_out, labels),
        what="measuring",
    )
    results = results_of({**probed.figures, **bounds}, splits, probed.notes)
    pictures |= {name: draw() for name, draw in probed.charts.items()}
    if splits.evaluation is not None:
        pictures["accuracy"] = charts.accuracy_curve(results)
    return Measured(results, pictures, labels, explorer=slid)


Inferred = tuple[GroupedData, Posteriors]


class _HeldOut(NamedTuple):
    """Observations and their posteriors, where there are any.

    Attributes:
        seen: Of groups that training had.
        unseen: Of others.
    """

    seen: Inferred | None
    unseen: Inferred | None


def _inferred(model: MLVAE, data: GroupedData | None) -> Inferred | None:
    return None if data is None else (data, Posteriors.of(model, data))


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
    """What contents and styles say of groups.

    Attributes:
        figures: By name.
        charts: What draws each chart of them, by name.
        notes: What the figures are made of.
    """

    figures: dict[str, Any]
    charts: dict[str, Drawing]
    notes: list[str]


def _probed(
    model: MLVAE,
    splits: Splits,
    held_out: _HeldOut,
    learned: GroupedData,
    counts: Counts,
    seed: int,
    labels: Labels,
) -> Probed:
    """What is asked of held-out and of unseen groups."""
    found = Probed({}, {}, [])
    if held_out.seen is not None:
        found = _of_seen(
            model, splits.train, *held_out.seen, counts, seed, labels
        )
    if held_out.unseen is not None:
        data, posteriors = held_out.unseen
        figures, curves = unseen.measure(model, posteriors, data, learned, seed)
        found.figures["unseen"] = figures
        found.notes.extend(notes.of_unseen(data))
        if curves:
            found.charts["unseen_roc"] = lambda: charts.roc(curves)
    return found


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

    Returns:
        Figures are of `probes.probe_groups`, and `calibration`; charts are
        `confusion`, and `calibration` where it is measured.
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
    drawn = {"confusion": lambda: charts.confusion(confused, names, labels)}
    if calibrated:
        drawn["calibration"] = lambda: charts.calibration(calibrated)
    return Probed(found, drawn, said)


def _of_seen(
    model: MLVAE,
    train: GroupedData,
    held_out: GroupedData,
    posteriors: Posteriors,
    counts: Counts,
    seed: int,
    labels: Labels,
) -> Probed:
    """What is asked of held-out observations of training groups."""
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
    probed.figures["groups"] = dict(zip(("held_out", "asked"), sizes))
    probed.figures["swap"] = judged.measure(
        model, {held_out.level: real}, asked, of_asked, counts, seed
    )
    said = notes.of_groups(len(train.groups), *sizes)
    return probed._replace(notes=[*said, *probed.notes])


def _drawn(
    model: MLVAE, splits: Splits, held_out: _HeldOut, labels: Labels
) -> tuple[dict[str, bytes], Explorer | None]:
    """The pictures that show what the model does, and what to slide through."""
    draw: dict[str, Drawing] = {
        "sample": lambda: drawings.sample_grid(splits.train, labels=labels)
    }
    for prefix, of in (("", held_out.seen), ("unseen_", held_out.unseen)):
        if of is not None:
            control = _control(model, *of, labels)
            draw |= {f"{prefix}{name}": one for name, one in control.items()}
    names = progress.track(draw, len(draw), "drawing", seconds=0)
    pictures = {name: draw[name]() for name in names}
    return pictures, explorer.explore(model, splits.measured)


def _control(
    model: MLVAE, some: GroupedData, posteriors: Posteriors, labels: Labels
) -> dict[str, Drawing]:
    """What draws the pictures of control, and the map, by name."""
    return {
        **drawings.of_control(model, some, labels=labels),
        "swap_single": lambda: drawings.swap_grid(
            model, some, evidence_count=1, labels=labels
        ),
        "map": lambda: charts.latent_map(posteriors, labels),
    }
