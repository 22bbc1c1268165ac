"""What a model of several levels is measured by."""

import numpy as np
import pytest

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import Batching
from mlvae_tf.evaluation import crossed, likelihood, tables

SETTINGS = {"levels": {"person": 2, "light": 3}, "observation_shape": (4,)}


def made(generator, copies=5):
    people, lights = np.divmod(np.arange(60 * copies) // copies, 6)
    values = generator.uniform(size=(60 * copies, 4)).astype(np.float32)
    return GroupedData.of(values, {"person": people, "light": lights})


def test_the_terms_add_up_and_are_weighed_by_groups(make_model, generator):
    model = make_model(**SETTINGS, dtype="float32")
    data = made(generator)
    found = likelihood.batch_elbo(model, data, Batching(4, 4), seed=3)
    kls = ("person", "light", "style")
    parts = [found[f"group_{name}_kl"].value for name in kls]
    np.testing.assert_allclose(
        found["group_elbo"].value,
        found["group_reconstruction"].value - sum(parts),
        rtol=1e-5,
    )
    # One is the other times the observations that a group has in a batch.
    ratios = [
        found[f"group_{name}"].value / found[f"{name}_per_observation"].value
        for name in ("elbo", "reconstruction")
    ]
    np.testing.assert_allclose(*ratios, rtol=1e-6)
    assert all(low <= value <= high for value, low, high in found.values())
    # All in one batch: the model's own mean.
    model.compile(optimizer="adam")
    whole = likelihood.batch_elbo(model, data, Batching(batch_size=300), seed=3)
    ids = {name: of.ids for name, of in data.levels.items()}
    arrays = {"observations": data.observations, "group_ids": ids}
    losses = [
        model.evaluate(arrays, batch_size=300, verbose=0, return_dict=True)
        for _ in range(3)
    ]
    own = np.mean([of["elbo"] for of in losses])
    assert whole["group_elbo"].value == pytest.approx(own, rel=0.02)
    assert whole["elbo_per_observation"].value == pytest.approx(own / 30, 0.02)
    assert whole["group_person_kl"].value == pytest.approx(
        losses[0]["person_kl"], rel=1e-4
    )


def test_what_each_latent_says_of_each_level(generator):
    """The content of persons tells them, that of lights both."""
    data = made(generator, copies=10)
    train, held_out = data[np.arange(0, 600, 2)], data[np.arange(1, 600, 2)]

    def latents(some):
        people, lights = (of.ids for of in some.levels.values())
        both = np.stack([people, lights], axis=1).astype(float)
        return {
            "person": np.stack([3.0 * people, 0 * people], axis=1),
            "light": 3 * both,
            "style": generator.normal(size=(len(some), 2)),
        }

    person, light = (
        crossed.told_by(
            latents(train),
            latents(held_out),
            (train.levels[name].ids, held_out.levels[name].ids),
            name,
            seed=0,
        )
        for name in ("person", "light")
    )
    assert person["told_by"]["light"].value > 0.95
    assert light["told_by"]["person"].value < 0.35
    assert person["chance_accuracy"] == pytest.approx(0.1)
    assert light["chance_accuracy"] == pytest.approx(1 / 6)
    assert person["style_accuracy"].value < 0.25
    assert set(person["told_by"]) == {"light"}


def test_the_table_names_levels_and_latents():
    one = {"content_accuracy": {"1": 0.5}, "told_by": {"light": 0.25}}
    swap = {
        "judge_accuracy": 0.9,
        "content_group": {"1": 0.8},
        "style_group": {"1": 0.1},
        "kept": {"light": 0.7},
    }
    results = {
        "group_person_kl": 3.21,
        "elbo_per_observation": -1.0,
        "levels": {"person": {**one, "chance_accuracy": 0.1, "swap": swap}},
        "intervals": {},
    }
    rows = [row[:2] for row in tables.one(results)[1:]]
    assert rows == [
        ["person told by its content, k = 1", "0.500"],
        ["person told by the content of light", "0.250"],
        ["person, chance", "0.100"],
        ["judge accuracy, person", "0.900"],
        ["swap accuracy, person, k = 1", "0.800"],
        ["swap of person, light is kept", "0.700"],
        ["group person kl", "3.2"],
        ["elbo per observation", "-1.0"],
    ]


def test_new_people_under_known_lights(exact_model, generator):
    """The light is named from one image of a person never seen."""
    people, lights = np.divmod(np.arange(240) // 4, 6)
    values = np.stack([people, 3 * lights, *generator.normal(size=(2, 240))], 1)
    ids = {"person": people, "light": lights}
    data = GroupedData.of(values.astype(np.float32), ids)
    model = exact_model()
    old = np.flatnonzero(people < 7)
    new = np.flatnonzero(people >= 7)
    found, pictures = crossed._of_unseen(model, data[old], data[new], seed=0)
    assert found["light"]["among_unseen"].value > 0.95
    identified = found["person"]["unseen"]["identification"]
    assert identified["content"]["1"].value > 0.9
    assert pictures.keys() == {"unseen_roc"}
    stranger = np.flatnonzero((people >= 7) & (lights == 5))
    few = data[np.flatnonzero((people < 7) & (lights < 5))]
    found, _ = crossed._of_unseen(model, few, data[stranger], seed=0)
    assert "light" not in found
