"""The network of `step.py`, and the matrix products of a training step."""

from __future__ import annotations

DIM, HIDDEN, PIXELS = 10, 500, 784
SIDE, COLOURS, CHANNELS = 64, 3, (32, 64, 128)  # Of the convolutions.

Shape = tuple[int, int]


def products(size: int) -> list[tuple[Shape, Shape]]:
    """Shapes of the operands, forward and backward, of a batch of so many.

    A layer from m to n units takes one product forward, and two backward, for
    its kernel and its input. Nothing needs the gradient of the pixels.
    """
    layers = (
        (PIXELS, HIDDEN),
        (HIDDEN, 4 * DIM),
        (2 * DIM, HIDDEN),
        (HIDDEN, PIXELS),
    )
    pairs = []
    for m, n in layers:
        pairs += [((size, m), (m, n)), ((m, size), (size, n))]
        if m != PIXELS:
            pairs.append(((size, n), (n, m)))
    return pairs
