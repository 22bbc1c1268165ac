import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from mlvae_tf.data import augmentation
from mlvae_tf.data.augmentation import augment_groups

SEED = tf.constant([3, 4])


def augmented(images, group_ids, probability=1.0, seed=SEED):
    return augment_groups(
        tf.constant(images, tf.float32),
        tf.constant(group_ids),
        seed,
        probability,
    ).numpy()


def constant_images(values):
    """Which neither a displacement nor a mirror changes."""
    return np.tile(np.reshape(values, [-1, 1, 1, 1]), [1, 5, 6, 1])


def test_nothing_happens_with_probability_zero(generator):
    images = generator.uniform(size=(9, 5, 6, 2)).astype("float32")
    found = augmented(images, np.arange(9) // 3, probability=0.0)
    np.testing.assert_allclose(found, images, atol=1e-6)


def test_a_blend_is_on_a_circle_around_the_mean():
    # Two groups of two: x of "a" is 1 and 3, of "b" 5 and 7, their mean 4.
    images = constant_images([1, 5, 3, 7])
    found = augmented(images, ["a", "b", "a", "b"])[:, 0, 0, 0]
    a, b = np.array([1, 3]) - 4.0, np.array([5, 7]) - 4.0
    angles = np.linspace(0, np.pi / 4, 20_001)[:, np.newaxis]
    for rows, own, others in (([0, 2], a, b), ([1, 3], b, a)):
        # cos(t) x + sin(t) y with one t for the group, and some y for each x.
        errors = [
            abs(np.cos(angles) * x + np.sin(angles) * others - (z - 4)).min(1)
            for x, z in zip(own, found[rows])
        ]
        assert np.max(errors, axis=0).min() < 2e-4


def test_blends_keep_variances_between_and_within_groups(generator):
    groups = np.repeat(np.arange(4000), 4)
    centers = generator.normal(size=4000)[groups]
    values = centers + 0.5 * generator.normal(size=len(groups))
    images = np.reshape(values, [-1, 1, 1, 1]) * np.ones([1, 2, 2, 1])
    found = augmented(images, groups)[:, 0, 0, 0].reshape(4000, 4)
    assert not np.allclose(found.ravel(), values, atol=0.01)
    within = found.var(axis=1, ddof=1).mean()
    between = found.mean(axis=1).var(ddof=1) - within / 4
    # Standard errors: 0.25 sqrt(2 / 12000) and about sqrt(2 / 4000); three.
    assert within == pytest.approx(0.25, abs=0.015)
    assert between == pytest.approx(1, abs=0.08)


def test_images_of_a_group_are_displaced_alike():
    # Where all are one image, a blend with the mean of all is that image; a
    # ramp of rows, its own mirror, shows how far down a pixel was taken from.
    ramp = np.tile(np.reshape(np.arange(40.0), [40, 1, 1]), [1200, 1, 40, 1])
    found = augmented(ramp, np.repeat(np.arange(400), 3))[..., 0]
    moves = (found - ramp[..., 0]).reshape(400, 3, 40, 40)
    np.testing.assert_allclose(moves, moves[:, :1] + np.zeros([1, 3, 1, 1]))
    # Inside, away from clipping; bicubic weights spread the drawn deviation.
    inner = moves[:, 0, 8:-8, 8:-8]
    deviation = inner.std(axis=0).mean() / 40
    assert 0.5 < deviation / augmentation.DISPLACEMENT < 1
    # Smooth: a pixel and the next move alike.
    steps = np.abs(np.diff(inner, axis=1)).max()
    assert steps < 0.5 * np.abs(inner).max()
    assert not np.allclose(moves[0], moves[1])


def test_half_the_others_are_mirrored_all_images_of_a_group_alike():
    ramp = np.tile(np.arange(40.0)[:, np.newaxis], [1200, 6, 1, 1])
    found = augmented(ramp, np.repeat(np.arange(400), 3))
    mirrored = (found[:, 0, 0] > found[:, 0, -1]).reshape(400, 3)
    assert (mirrored == mirrored[:, :1]).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_columns_and_rows_move_on_their_own():
    rows, columns = np.mgrid[:30.0, :30.0]
    roof = 15 - abs(columns - 14.5)  # Its own mirror.
    images = np.stack([rows, roof], axis=-1)[np.newaxis].repeat(200, 0)
    found = augmented(images, np.arange(200)) - images
    down, right = found[:, 15, 7].T
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.25
    assert 0.5 < down.std() / right.std() < 2


@pytest.mark.parametrize("shape", [(7, 5, 1), (6, 8, 3), (1, 9, 1), (9, 1, 2)])
def test_displacement_is_linear_interpolation(generator, shape):
    images = generator.uniform(size=(3, *shape)).astype("float32")
    moves = 0.2 * generator.normal(size=(2, 2 * augmentation.POINTS**2))
    moves = moves.astype("float32")
    found = augmentation._displace(
        tf.constant(images), tf.constant(moves), tf.constant([1, 0, 1])
    ).numpy()
    points = moves.reshape(2, augmentation.POINTS, augmentation.POINTS, 2)
    smooth = tf.image.resize(points, shape[:2], "bicubic").numpy()
    places = np.mgrid[: shape[0], : shape[1]] + np.reshape(
        shape[:2], [2, 1, 1]
    ) * np.moveaxis(smooth, -1, 1)
    for image, result, group in zip(images, found, [1, 0, 1]):
        for channel in range(shape[2]):
            expected = scipy.ndimage.map_coordinates(
                image[..., channel], places[group], order=1, mode="nearest"
            )
            np.testing.assert_allclose(
                result[..., channel], expected, atol=1e-5
            )


def test_some_groups_stay(generator):
    images = generator.uniform(size=(400, 4, 4, 1)).astype("float32")
    found = augmented(images, np.arange(400) // 2, probability=0.3)
    moved = np.abs(found - images).max(axis=(1, 2, 3)) > 1e-5
    assert np.array_equal(moved[::2], moved[1::2])
    assert 0.2 < moved.mean() < 0.4


def test_values_keep_within_those_of_the_batch(generator):
    images = generator.integers(2, size=(60, 4, 4, 1)).astype("float32")
    found = augmented(images, np.arange(60) // 3)
    assert found.min() >= 0
    assert found.max() <= 1
