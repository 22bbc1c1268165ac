"""What a model of several levels is measured by.

The ELBO; for every level what `measure` measures of one, and how often a probe
names its groups by the latents of the others; and combinations never seen.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import Batching
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import (
    charts,
    combinations,
    completed,
    drawings,
    explorer,
    judged,
    likelihood,
    notes,
    probes,
    unseen,
)
from mlvae_tf.evaluation.asked import choose
from mlvae_tf.evaluation.bootstrap import estimate, separate
from mlvae_tf.evaluation.classifiers import fit_probe
from mlvae_tf.evaluation.measure import Measured, probe, results_of
from mlvae_tf.evaluation.names import Labels
from mlvae_tf.evaluation.posteriors import CHUNK, Counts, Posteriors
from mlvae_tf.evaluation.together import together
from mlvae_tf.model import MLVAE

Array = np.ndarray
Pictures = dict[str, bytes]


def measure(
    model: MLVAE,
    splits: Splits,
    batching: Batching,
    counts: Counts,
    importance_samples: int,
    seed: int,
) -> Measured:
    """What `evaluate.py` reports of a model of several levels.

    Args:
        model: The model.
        splits: The data that it was trained with.
        batching: How it was batched.
        counts: Evidence counts; None is all of a group's.
        importance_samples: Of the importance-weighted bound.
        seed: Seed of all that is drawn.

    Raises:
        InputError: If nothing was held out.
    """
    labels = Labels()
    (of_levels, pictures, said), swapped, found = together(
        partial(_by_level, model, splits, counts, seed, labels),
        partial(judged.of_levels, model, splits, counts, seed),
        partial(
            likelihood.bounds,
            model,
            splits.measured,
            batching,
            importance_samples,
            seed,
        ),
        what="measuring",
    )
    for name, swap in swapped.items():
        of_levels.setdefault(name, {})["swap"] = swap
    found["levels"] = of_levels
    of_cells, learned = combinations.measure(model, splits, seed)
    if learned is not None and of_cells:
        found["combinations"] = of_cells
        pictures |= completed.grids(learned, splits, seed, labels)
    return Measured(
        results_of(found, splits, said),
        pictures,
        labels,
        explorer=explorer.explore(model, splits.measured),
    )


def _by_level(
    model: MLVAE, splits: Splits, counts: Counts, seed: int, labels: Labels
) -> tuple[dict[str, dict[str, Any]], Pictures, list[str]]:
    """By level what is measured of it, pictures, and notes."""
    found: dict[str, dict[str, Any]]
    found = {name: {} for name in splits.train.levels}
    pictures = {
        f"sample_of_{name}": drawings.sample_grid(
            splits.train.on(name), labels=labels
        )
        for name in found
    }
    said: list[str] = []
    held_out = splits.evaluation
    for name in found:
        if held_out is None:
            break
        train, asked = splits.train.on(name), held_out.on(name)
        found[name], drawn, notes_of = of_level(
            model, train, asked, counts, seed, labels
        )
        said += [f"{name}: {note}" for note in notes_of]
        pictures |= {f"{k}_of_{name}": png for k, png in drawn.items()}
    if splits.unseen is not None:
        of_unseen, drawn = _of_unseen(model, splits.train, splits.unseen, seed)
        for name, of in of_unseen.items():
            found[name] |= of
        said += notes.of_unseen(splits.unseen)
        pictures |= drawn
    return {name: of for name, of in found.items() if of}, pictures, said


def of_level(
    model: MLVAE,
    train: GroupedData,
    held_out: GroupedData,
    counts: Counts,
    seed: int,
    labels: Labels,
) -> tuple[dict[str, Any], Pictures, list[str]]:
    """What latents say of the groups of one level, the data's first.

    Args:
        model: The model.
        train: What it was trained on; the probes learn from some of it.
        held_out: Other observations, of which those of these groups are asked.
        counts: Evidence counts.
        seed: Seed of what is chosen, and of the probes.
        labels: What is drawn for the names of groups.

    Returns:
        `(figures, pictures, notes)`. Figures are those of `probe_groups` and of
        `calibration`, where the level is drawn, else `style_accuracy` and
        `chance_accuracy`; and `told_by`, by other level, how often its content
        of one observation names the group.
    """
    level = train.level
    trained = np.isin(held_out.groups, train.groups)
    held_out = held_out[np.flatnonzero(trained[held_out.group_index])]
    if len(held_out.groups) < 2:
        return {}, {}, ["held-out observations are of fewer than two groups"]
    chosen = choose(train, held_out, seed)
    asked, groups = held_out[chosen.rows], chosen.some.groups
    said = notes.of_groups(len(train.groups), len(held_out.groups), len(groups))
    told = told_by(
        latents(model, chosen.some), latents(model, asked),
        (chosen.some.group_ids, asked.group_ids), level, seed,
    )  # fmt: skip
    if level not in [one.name for one in model.codec.drawn]:
        return told, {}, said
    posteriors = Posteriors.of(model, held_out)
    probed = probe(model, held_out, posteriors, chosen, counts, seed, labels)
    found = told | probed.figures
    values, intervals = separate(found)
    pictures = {
        **{name: draw() for name, draw in probed.charts.items()},
        "accuracy": charts.accuracy_curve({**values, "intervals": intervals}),
        "swap": drawings.swap_grid(model, held_out, labels=labels),
        "map": charts.latent_map(posteriors, labels),
    }
    return found, pictures, said + probed.notes


def _of_unseen(
    model: MLVAE, train: GroupedData, data: GroupedData, seed: int
) -> tuple[dict[str, dict[str, Any]], Pictures]:
    """What is told of observations whose group of the first level is new.

    Args:
        model: The model.
        train: What it was trained on.
        data: Observations of groups of the first level never seen.
        seed: Seed of what is chosen, and of the probes.

    Returns:
        `(figures, pictures)`. Of the first level `unseen`: identification and
        verification; of the others `among_unseen`: how often their content of
        one such observation names a group that training had.
    """
    found: dict[str, dict[str, Any]] = {}
    pictures: Pictures = {}
    names = [level.name for level in model.codec.drawn]
    if data.level in names:
        posteriors = Posteriors.of(model, data)
        of, curves = unseen.measure(model, posteriors, data, train, seed)
        if curves:
            found[data.level] = {"unseen": of}
            pictures["unseen_roc"] = charts.roc(curves)
    some = train.sample(probes.MAX_PROBE_OBSERVATIONS, seed)
    data = data.sample(probes.MAX_PROBE_OBSERVATIONS, seed)
    learned, asked = latents(model, some), latents(model, data)
    for name in names:
        ids, others = some.levels[name].ids, data.levels[name].ids
        trained = np.isin(others, ids)
        if name != data.level and trained.any() and len(np.unique(ids)) > 1:
            fitted = fit_probe(learned[name], ids, seed)
            right = fitted.names(asked[name][trained]) == others[trained]
            found[name] = {"among_unseen": estimate(right)}
    return found, pictures


def told_by(
    learned: dict[str, Array],
    asked: dict[str, Array],
    ids: tuple[Array, Array],
    level: str,
    seed: int,
) -> dict[str, Any]:
    """What latents say of a level's groups.

    Args:
        learned: By latent, those that probes learn from, `[N, dim]`.
        asked: Those that they are asked of.
        ids: The groups of both.
        level: Of which level.
        seed: Seed of the probes.

    Returns:
        `told_by`, by the other levels' contents; `style_accuracy`; and
        `chance_accuracy`, that of naming the most frequent group.
    """
    others = [latent for latent in learned if latent != level]
    right = together(
        *(
            partial(_right, (learned[one], ids[0]), (asked[one], ids[1]), seed)
            for one in others
        ),
        what=f"asking for the {level}",
    )
    accuracy = dict(zip(others, map(estimate, right)))
    most = np.unique(ids[1], return_counts=True)[1].max()
    found: dict[str, Any] = {}
    if "style" in accuracy:
        found["style_accuracy"] = accuracy.pop("style")
    found["told_by"] = accuracy
    found["chance_accuracy"] = float(most / len(ids[1]))
    return found


def _right(
    learned: tuple[Array, Array],
    asked: tuple[Array, Array],
    seed: int,
) -> Array:
    """Which groups a probe names right, whichever tells most, bool `[N]`.

    Args:
        learned: Latents and ids that it learns from.
        asked: Those that it is asked of.
        seed: Its seed.
    """
    fitted = fit_probe(*learned, seed)
    features, ids = asked
    named = [fitted.names(features, kind) == ids for kind in fitted.kinds]
    return max(named, key=np.count_nonzero)


def latents(model: MLVAE, data: GroupedData) -> dict[str, Array]:
    """By level that is drawn, and of the style, what each observation shows.

    Returns:
        Means, `[N, dim]`; styles are given the contents of the observation
        alone.
    """
    parts = []
    for values, _ in data.chunks(CHUNK):
        contents, style = model.infer_observations(values)
        parts.append({name: q.loc.numpy() for name, q in contents.items()})
        if model.style_dim:
            parts[-1]["style"] = style.loc.numpy()
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }
