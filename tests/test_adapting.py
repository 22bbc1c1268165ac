"""What is chosen from the data where no flag says it."""

import dataclasses

import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.runs import adapting
from mlvae_tf.runs.config import Config, ModelConfig, TrainingConfig


def of(values, ids=None):
    """Observations, of one group unless ids say otherwise."""
    return GroupedData.of(
        values, np.zeros(len(values), int) if ids is None else ids
    )


@pytest.mark.parametrize(
    "stored", [np.full((5, 4, 4, 1), 200, np.uint8), np.array([[0, 0.2, 1.0]])]
)
def test_images_are_bernoulli(stored):
    choice = adapting.values(ModelConfig(), of(stored))
    assert choice.settings == {"likelihood": "bernoulli"}
    scaled = ModelConfig(observation_scale=0.5)
    with pytest.raises(InputError, match="no effect on bernoulli, as was chos"):
        adapting.values(scaled, of(stored))
    given = dataclasses.replace(scaled, likelihood="poisson")
    with pytest.raises(InputError, match="no effect on poisson"):
        adapting.values(given, of(stored))
    before = ModelConfig(
        likelihood="bernoulli", observation_scale=1.0
    )  # Runs of 0.1.
    assert not adapting.values(before, of(stored)).settings


def test_what_flags_say_stays(generator):
    values = generator.normal(size=(9, 4))
    data = of(values, np.arange(9) % 3)
    assert not adapting.values(ModelConfig(likelihood="normal"), data).settings
    scaled = ModelConfig(observation_scale=0.5, observation_center=(1.0,))
    chosen = adapting.values(scaled, data).settings
    assert set(chosen) == {"likelihood", "observation_unit"}
    model = ModelConfig(content_dim=7)
    chosen = adapting.sizes(model, data).settings
    assert chosen == {"style_dim": 4, "content_contrast": 30.0}
    averaged = ModelConfig(accumulation="average")
    chosen = adapting.sizes(averaged, data).settings
    assert chosen["content_contrast"] == 0
    assert chosen["content_dim"] == 4
    training = TrainingConfig(epochs=5, evaluate_epochs=1)
    assert not adapting.length(training, 9).settings


@pytest.mark.parametrize(
    ("settings", "per_epoch", "epochs"),
    [
        ({}, 1, 500),  # Few observations: 400 passes, but 500 steps.
        ({}, 5, 400),
        ({}, 12, 250),  # 3000 steps.
        ({}, 235, 30),  # 30 passes.
        ({}, 5000, 2),  # 10,000 steps.
        ({"steps": 47}, 10, 5),
    ],
)
def test_a_training_is_so_long(settings, per_epoch, epochs):
    choice = adapting.length(TrainingConfig(**settings), per_epoch)
    assert choice.settings["epochs"] == epochs
    assert choice.settings["evaluate_epochs"] == max(1, epochs // 20)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([400] * 10, 64),  # 256 observations in fours.
        ([2] * 10_000, 128),  # 256 in twos.
        ([144] * 10, 45),  # 8 batches of an epoch.
        ([24] * 9, 16),  # Fewer would compare too few groups.
        ([3, 9], 16),
    ],
)
def test_a_batch_has_so_many_groups(sizes, groups):
    choice = adapting.batching(TrainingConfig(), np.array(sizes))
    assert choice.settings == {"groups_per_batch": groups}


def test_what_flags_say_of_batches_stays():
    for said in ({"groups_per_batch": 3}, {"batch_size": 7}):
        training = TrainingConfig(**said)
        assert not adapting.batching(training, np.array([9, 9])).settings


def splits(count, shape=(3, 3, 1), unseen=True):
    values = np.zeros((count, *shape), np.uint8)
    data = GroupedData.of(values, np.arange(count) % 5)
    return Splits(data, None, None, data if unseen else None)


READ = {"likelihood": "bernoulli"}


@pytest.mark.parametrize(
    ("data", "settings", "chosen"),
    [
        (splits(999), READ, 0.7),
        (splits(1000), READ, None),
        (splits(999, unseen=False), READ, None),
        (splits(999), {**READ, "augment_groups": 0.0}, 0.0),
        (splits(999), {**READ, "chunk_size": 8}, None),
        (splits(999), {**READ, "missing_values": True}, None),
        (splits(999), {"likelihood": "poisson"}, None),
        (splits(999, (9,)), READ, None),
    ],
)
def test_groups_of_few_images_are_augmented(data, settings, chosen, capsys):
    config = Config().replace(settings)
    config = adapting.apply(config, adapting.augmentation(config, data))
    assert config.training.augment_groups == chosen
    assert ("999 images" in capsys.readouterr().out) == bool(chosen)
    adapting.check_augmented(config, data.train.observations.shape[1:])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({**READ, "missing_values": True}, "can't blend gaps"),
        ({"likelihood": "categorical"}, "can't blend values of categorical"),
        ({**READ, "chunk_size": 8}, "--chunk_size has parts only"),
    ],
)
def test_what_cannot_be_blended_is_refused(settings, words):
    config = Config().replace({**settings, "augment_groups": 0.5})
    with pytest.raises(InputError, match=words):
        adapting.check_augmented(config, (3, 3, 1))


def test_only_what_has_no_default_is_chosen(generator):
    """Else a choice would take the place of what a flag says."""
    data = of(generator.normal(size=(90, 4)), np.arange(90) % 3)
    choices = [
        adapting.values(ModelConfig(), data),
        adapting.sizes(ModelConfig(), data),
        adapting.batching(TrainingConfig(), np.array([30] * 3)),
        adapting.length(TrainingConfig(), 9),
        adapting.augmentation(Config().replace(READ), splits(99)),
    ]
    default = Config().flat()
    chosen = [name for choice in choices for name in choice.settings]
    assert len(chosen) == 11
    assert [default[name] for name in chosen] == [None] * 11


def test_what_is_chosen_is_said(capsys):
    choice = adapting.Choice({"observation_unit": (1.0, 2.5) * 4}, "of these")
    config = adapting.apply(Config(), choice)
    assert config.model.observation_unit == (1.0, 2.5) * 4
    said = "chosen: observation_unit 1,2.5,1,2.5,... (of these)\n"
    assert capsys.readouterr().out == said
    assert adapting.apply(config, adapting.Choice({})) is config
    assert not capsys.readouterr().out


def test_what_is_chosen_of_several_levels():
    ids = {"person": np.arange(6) // 2, "light": np.arange(6) % 2}
    data = GroupedData.of(np.zeros((6, 4), np.float32), ids)
    chosen = adapting.sizes(ModelConfig(), data).settings
    assert chosen["content_contrast"] == 30
    assert "style_flow" not in chosen
    none = adapting.sizes(ModelConfig(style_dim=0), data).settings
    assert none["style_flow"] == 0
