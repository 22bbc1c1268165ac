import enum

import numpy as np
import pytest
import tensorflow as tf

from mlvae_tf import noise

SEED = tf.constant([3, 4])


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("width", [1, 4, 10])
@pytest.mark.parametrize("draw", [noise.uniform, noise.normal])
def test_parts_are_what_the_whole_is(draw, width, jit_compile):
    whole = draw(SEED, 40, width).numpy()
    compiled = tf.function(draw, jit_compile=jit_compile)
    for start, rows in ((0, 7), (7, 1), (8, 32)):
        part = compiled(SEED, rows, width, tf.constant(start)).numpy()
        np.testing.assert_allclose(
            part, whole[start : start + rows], rtol=1e-5, atol=1e-6
        )


def test_seeds_are_the_same_in_xla():
    def draw(seed):
        for number in range(5):
            seed = noise.split(noise.fold_in(seed, number))[number % 2]
        return noise.uniform(seed, 3, 2)

    compiled = tf.function(draw, jit_compile=True)
    for number in range(20):
        seed = tf.constant([number, 0])
        np.testing.assert_array_equal(compiled(seed), draw(seed))


def test_a_dtype_changes_the_rounding_only():
    single = noise.normal(SEED, 1000, 3).numpy()
    double = noise.normal(SEED, 1000, 3, dtype="float64").numpy()
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-6)


def test_draws_are_standard_normal_and_independent():
    draws = noise.normal(SEED, 200_000, 5).numpy().astype(np.float64)
    moments = [np.mean(draws**power) for power in (1, 2, 3, 4)]
    # A million draws: five standard errors of each moment.
    errors = 5 * np.sqrt(np.array([1, 2, 15, 96]) / draws.size)
    assert np.all(np.abs(moments - np.array([0, 1, 0, 3])) < errors)
    correlation = np.corrcoef(draws.T) - np.eye(5)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(draws))
    successive = np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]
    assert abs(successive) < 5 / np.sqrt(len(draws))


def test_seeds_differ():
    one = noise.normal(tf.constant([0, 1]), 50, 4).numpy()
    other = noise.normal(tf.constant([0, 2]), 50, 4).numpy()
    assert not np.any(one == other)


def test_the_ends_are_never_drawn(monkeypatch):
    for bits in (0, 2**32 - 1):
        monkeypatch.setattr(
            tf.raw_ops,
            "StatelessRandomUniformFullIntV2",
            lambda shape, bits=bits, **_: tf.fill(
                shape, tf.constant(bits, tf.uint32)
            ),
        )
        draw = noise.uniform(SEED, 1, 1).numpy().item()
        assert 0 < draw < 1
        assert np.isfinite(noise.normal(SEED, 1, 1).numpy()).all()


@pytest.mark.parametrize("purposes", [noise.Stream, noise.Draw])
def test_no_two_purposes_share_their_random_numbers(purposes):
    # An equal value would make the second name an alias of the first.
    assert enum.unique(purposes) is purposes
    assert len(set(purposes)) == len(purposes.__members__)
    assert min(purposes) >= 0


def test_what_a_step_draws_comes_after_contents_and_styles():
    of_step = noise.of_step(3, noise.Stream.TRAINING, 5)
    seeds = [
        *noise.split(of_step),
        *(noise.fold_in(of_step, draw) for draw in noise.Draw),
    ]
    assert len({tuple(seed.numpy()) for seed in seeds}) == len(seeds)


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32, 2**40 + 3])
def test_generators_of_streams_and_of_epochs_are_apart(seed):
    """Of this seed and the next, of every stream, and of epochs so numbered."""
    generators = [
        noise.generator(some, stream, *numbers)
        for some in (seed, seed + 1)
        for stream in noise.Stream
        for numbers in ((), (0,), (1,), (0, 0))
    ]
    generators += [
        noise.epoch_generator(some, epoch)
        for some in (seed, seed + 1)
        for epoch in range(2 * len(noise.Stream))
    ]
    draws = np.array([generator.random(4) for generator in generators])
    assert len(np.unique(draws)) == draws.size


def test_generators_derive_from_their_seed_alone():
    for make in (
        lambda: noise.generator(3, noise.Stream.JUDGE),
        lambda: noise.generator(3, noise.Stream.EPISODES, 5),
        lambda: noise.epoch_generator(3, 5),
    ):
        assert np.array_equal(make().random(9), make().random(9))


def test_seeds_of_steps_are_apart():
    seeds = {
        tuple(noise.of_step(seed, stream, step).numpy())
        for seed in (0, 1)
        for stream in noise.Stream
        for step in range(5)
    }
    assert len(seeds) == 2 * len(noise.Stream) * 5
