"""What a trained model fails at is named."""

import numpy as np
import pytest

import mlvae_tf
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation import doubts


def test_groups_of_one():
    assert not doubts.of_groups(np.array([0, 0, 1, 2, 2]))
    (said,) = doubts.of_groups(np.array([0, 0, 1, 2, 3]))
    assert said.startswith("75% of the training groups have a single")


@pytest.mark.parametrize(
    ("kls", "words"),
    [
        ((5.0, 3.0), []),
        ((0.01, 3.0), ["content has collapsed"]),
        ((5.0, 0.01), ["style has collapsed"]),
        ((0.0, 0.0), ["content has collapsed", "style has collapsed"]),
    ],
)
def test_collapsed_latents(kls, words):
    found = doubts.of_latents(*kls)
    assert [said.split(" (")[0] for said in found] == words


def test_a_style_that_names_the_group(generator):
    ids = np.arange(300) % 5

    def some(shift):
        return generator.normal(size=(300, 4)) + shift * ids[:, None], ids

    assert not doubts.of_style(some(0), some(0))
    (said,) = doubts.of_style(some(1), some(1))
    assert "style still names the group" in said
    assert "(chance 20%)" in said
    assert not doubts.of_style(some(1), (np.zeros((2, 4)), np.array([8, 9])))


def test_what_is_learned_by_heart():
    assert not doubts.of_fit(0.2, 0.35, 1.0)
    (said,) = doubts.of_fit(0.2, 0.6, 1.0)
    assert "80% of what differs between them, and 40% of others" in said
    assert not doubts.of_fit(1.0, 1.1, 1.0)  # Nothing is learned at all.


def test_a_training_that_ends_too_early():
    assert not doubts.of_length([9, 5, 4, 3.9, 3.9])
    assert not doubts.of_length([9, 5, 3, 4, 5])
    assert not doubts.of_length([9, 3])
    (said,) = doubts.of_length([9, 7, 5, 3, 2])
    assert "gained 1 nats" in said


@pytest.fixture
def splits(generator):
    images = generator.uniform(size=(60, 4, 4, 1)).astype(np.float32)
    data = GroupedData.of(images, np.arange(60) % 6)
    rows = np.arange(60) % 10 < 8
    return Splits(data[rows], data[~rows], None, None)


def test_a_decoder_that_ignores_the_content(splits):
    model = mlvae_tf.MLVAE((4, 4, 1), 3, 2, hidden_units=8)
    kernel = model.decoder.layers[0].kernel
    kernel.assign(np.concatenate([np.zeros((3, 8)), 9 * np.ones((2, 8))]))
    images = splits.train.values()
    mean = np.mean(model.infer_style(images).loc, axis=0)
    model.style_head.bias.assign_sub(np.append(mean, [0, 0]))
    last = model.decoder.layers[1].kernel
    last.assign(0 * last + 1)
    found = doubts.doubts(model, splits, 0)
    assert sum("ignores the content" in said for said in found) == 1
    assert not any("ignores the style" in said for said in found)


def test_a_new_model_has_learned_nothing(splits):
    model = mlvae_tf.MLVAE((4, 4, 1), 3, 2, hidden_units=8)
    for head in model.codec.heads.values():
        head.kernel.assign(0 * head.kernel)
    found = " ".join(doubts.doubts(model, splits, 0))
    for words in ("style has collapsed", "ignores the content"):
        assert words in found
