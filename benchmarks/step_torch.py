"""The opponent of `step.py`: the same step in PyTorch, vectorised.

An ML-VAE of the same networks, initial scales, objective and optimizer as
`mlvae_tf`'s, written as one would write it for speed: one matrix product for
both heads, `index_add_` for the evidence, fused Adam, ready batches in memory.
Runs in an environment of its own, with torch and numpy; see `step.py`.
"""

from __future__ import annotations

import itertools
import sys

import torch
import torch.nn.functional as F
import turns
from step_shapes import (
    CHANNELS,
    COLOURS,
    DIM,
    HIDDEN,
    PIXELS,
    SIDE,
    products,
)
from torch import nn

BOUND = 7.0  # Of the log-scale, as in `mlvae_tf.layers`.


def head(features: torch.Tensor, layer: nn.Linear) -> list[torch.Tensor]:
    """Means and log-scales of content and style."""
    content, style = layer(features).split(2 * DIM, dim=1)
    parts = []
    for part in (content, style):
        loc, log_variance = part.split(DIM, dim=1)
        parts += [loc, BOUND * torch.tanh(log_variance / (2 * BOUND))]
    return parts


def kl(loc: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """Divergence from the standard normal, summed over everything."""
    return (
        0.5
        * (torch.exp(2 * log_scale) + loc.square() - 1 - 2 * log_scale).sum()
    )


class MLVAE(nn.Module):
    """784-500-(10+10)-500-784, Bernoulli."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder: nn.Module = nn.Linear(PIXELS, HIDDEN)
        self.heads = nn.Linear(HIDDEN, 4 * DIM)
        self.decoder = nn.Linear(2 * DIM, HIDDEN)
        self.output: nn.Module = nn.Linear(HIDDEN, PIXELS)

    def forward(
        self, x: torch.Tensor, segments: torch.Tensor, num_groups: int
    ) -> torch.Tensor:
        """The negative averaged grouped ELBO, nats per group."""
        features = torch.tanh(self.encoder(x))
        loc, log_scale, style_loc, style_log_scale = head(features, self.heads)
        precision = torch.exp(-2 * log_scale)
        evidence = torch.cat([precision, precision * loc], dim=1)
        total = evidence.new_zeros(num_groups, 2 * DIM)
        total = total.index_add(0, segments, evidence)
        precision, weighted = total.split(DIM, dim=1)
        group_loc, group_log_scale = (
            weighted / precision,
            -0.5 * precision.log(),
        )
        content = group_loc + group_log_scale.exp() * torch.randn_like(
            group_loc
        )
        style = style_loc + style_log_scale.exp() * torch.randn_like(style_loc)
        latents = torch.cat([content[segments], style], dim=1)
        logits = self.output(torch.tanh(self.decoder(latents)))
        loss = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        loss = loss + kl(group_loc, group_log_scale)
        return (loss + kl(style_loc, style_log_scale)) / num_groups


class ConvolutionalMLVAE(MLVAE):
    """The same around the convolutions of `trunk="conv"` at 64x64x3."""

    def __init__(self) -> None:
        super().__init__()
        sizes = COLOURS, *CHANNELS
        halvings: list[nn.Module] = []
        doublings: list[nn.Module] = []
        for few, many in itertools.pairwise(sizes):
            halvings += [nn.Conv2d(few, many, 4, 2, 1), nn.Tanh()]
            doublings = [
                nn.Tanh(),
                nn.ConvTranspose2d(many, few, 4, 2, 1),
                *doublings,
            ]
        side = SIDE // 2 ** len(CHANNELS)
        flat = side * side * CHANNELS[-1]
        self.encoder = nn.Sequential(
            *halvings, nn.Flatten(), nn.Linear(flat, HIDDEN)
        )
        self.output = nn.Sequential(
            nn.Linear(HIDDEN, flat),
            nn.Unflatten(1, (CHANNELS[-1], side, side)),
            *doublings,
        )


def alone(size: int) -> turns.Block:
    """The matrix products of a step, and nothing else."""
    pairs = [[torch.randn(shape) for shape in pair] for pair in products(size)]

    def block(steps: int) -> None:
        for _ in range(steps):
            for pair in pairs:
                torch.mm(*pair)

    return block


def make(subject: str, size: int, num_groups: int) -> turns.Block:
    """What takes so many steps."""
    torch.manual_seed(0)
    if subject == "alone":
        return alone(size)
    convolves = subject.startswith("conv_")
    model = ConvolutionalMLVAE() if convolves else MLVAE()
    shape = (COLOURS, SIDE, SIDE) if convolves else (PIXELS,)
    compute = torch.compile(model) if "compiled" in subject else model
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    batches = [
        (
            torch.randint(0, 256, (size, *shape)).float() / 255,
            torch.arange(size)[torch.randperm(size)] % num_groups,
        )
        for _ in range(20)
    ]

    def block(steps: int) -> None:
        for step in range(steps):
            loss = compute(*batches[step % len(batches)], num_groups)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return block


if __name__ == "__main__":
    turns.serve(make, sys.argv[1:])
