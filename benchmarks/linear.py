"""Style that knows its content, where the truth is known.

    python benchmarks/linear.py --seeds=3

Groups of eight observations of six values, x = A c + B s + noise, with two
content and two style dimensions whose directions overlap, so that an
observation alone does not tell what is due to which. Everything is normal:
log p(x) and the posteriors are exact. Trains an ML-VAE with q(s | x) and one
with q(s | x, c), and prints a Markdown table of the group ELBO in nats, of how
much of the true style and content the inferred ones explain (R2 of a linear
fit, on other groups), and of the content that the style explains, its leak.
"""

from __future__ import annotations

import sys

import keras
import numpy as np
from absl import app, flags
from scipy import stats
from shared import print_table
from sklearn.linear_model import LinearRegression

import mlvae_tf
from mlvae_tf.data import grouped_batches

GROUP, VALUES, DIM = 8, 6, 2
GROUPS, ASKED = 4000, 2000
NOISE = 0.5
OVERLAP = 0.7  # Of the style's directions with those of the content.

_SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.")
_STEPS = flags.DEFINE_integer("steps", 2000, "Of a training.")


def made(seed: int) -> tuple[np.ndarray, ...]:
    """Directions A and B, and contents, styles and values of all groups."""
    generator = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(generator.normal(size=(VALUES, 2 * DIM)))
    one, other = basis[:, :DIM], basis[:, DIM:]
    mixed = OVERLAP * one + np.sqrt(1 - OVERLAP**2) * other
    content = generator.normal(size=(GROUPS + ASKED, 1, DIM))
    style = generator.normal(size=(GROUPS + ASKED, GROUP, DIM))
    noise = generator.normal(size=(GROUPS + ASKED, GROUP, VALUES))
    values = content @ one.T + style @ mixed.T + NOISE * noise
    return one, mixed, content[:, 0], style, values.astype(np.float32)


def exact(
    one: np.ndarray, mixed: np.ndarray, values: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean log p(x) of groups, nats, and the means of the posteriors.

    Returns:
        `(log_prob, content, style)`, `[G, dim]` and `[G, 8, dim]`.
    """
    own = mixed @ mixed.T + NOISE**2 * np.eye(VALUES)
    covariance = np.kron(np.eye(GROUP), own)
    covariance += np.kron(np.ones((GROUP, GROUP)), one @ one.T)
    flat = values.reshape(len(values), -1)
    log_prob = stats.multivariate_normal.logpdf(flat, None, covariance)
    known = np.linalg.solve(covariance, flat.T).T
    content = known @ np.tile(one, (GROUP, 1))
    style = known.reshape(values.shape) @ mixed
    return float(np.mean(log_prob)), content, style


def trained(values: np.ndarray, seed: int, given: bool) -> mlvae_tf.MLVAE:
    """An ML-VAE of some groups, `[G, 8, 6]`."""
    model = mlvae_tf.MLVAE(
        (VALUES,),
        DIM,
        DIM,
        hidden_units=64,
        likelihood=mlvae_tf.likelihoods.Normal(scale=NOISE),
        style_given_content=given,
        seed=seed,
    )
    steps = _STEPS.value
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(rate))
    ids = np.repeat(np.arange(len(values)), GROUP)
    batches = grouped_batches(
        values.reshape(-1, VALUES),
        ids,
        groups_per_batch=128,
        observations_per_group=GROUP,
        seed=seed,
    )
    per_epoch = len(batches)
    model.fit(batches, epochs=-(-steps // per_epoch), verbose=0)
    return model


def explained(given: np.ndarray, true: np.ndarray) -> float:
    """R2 of a linear fit of the one half, on the other."""
    half = len(given) // 2
    fitted = LinearRegression().fit(given[:half], true[:half])
    return float(fitted.score(given[half:], true[half:]))


def inferred(
    values: np.ndarray, seed: int, given: bool
) -> tuple[float, np.ndarray, np.ndarray]:
    """The same as `exact` of a trained model: its ELBO, and what it infers."""
    model = trained(values[:GROUPS], seed, given)
    asked = values[GROUPS:].reshape(-1, VALUES)
    ids = np.repeat(np.arange(ASKED), GROUP)
    elbo = model.evaluate(
        {"observations": asked, "group_ids": ids},
        batch_size=64 * GROUP,
        verbose=0,
        return_dict=True,
    )["elbo"]
    _, content = model.infer_content(asked, ids)
    return elbo, content.loc.numpy(), model.infer_style(asked, ids).loc.numpy()


def line(name: str, given: bool | None) -> list[str]:
    """A row of the table: means over the seeds, and their range.

    Args:
        name: Its name.
        given: Whether styles are given contents; None for what is exact.
    """
    found = []
    for seed in range(_SEEDS.value):
        one, mixed, content, style, values = made(seed)
        true_content = content[GROUPS:]
        of_exact = exact(one, mixed, values[GROUPS:])
        elbo, contents, styles = (
            of_exact if given is None else inferred(values, seed, given)
        )
        styles = styles.reshape(-1, DIM)
        row = [
            of_exact[0] - elbo,
            explained(styles, style[GROUPS:].reshape(-1, DIM)),
            explained(styles, np.repeat(true_content, GROUP, axis=0)),
            explained(contents, true_content),
        ]
        print(name, seed, row, file=sys.stderr, flush=True)
        found.append(row)
    columns = np.array(found).T
    return [
        name,
        *(f"{c.mean():.3f} ({c.min():.3f} to {c.max():.3f})" for c in columns),
    ]


def main(argv: list[str]) -> None:
    del argv
    header = ["", "log p less the group ELBO", "style explains true style"]
    header += ["style explains content", "content explains content"]
    rows = [
        line("exact", None),
        line("q(s given x)", False),
        line("q(s given x, c)", True),
    ]
    print_table([header, *rows])


if __name__ == "__main__":
    app.run(main)
