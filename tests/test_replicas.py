"""Workers that train together: what they come to is what one comes to."""

import signal

import numpy as np
import pytest
import tensorflow as tf
from scripts import SMALL, environment, new_script, script, weights
from together import ROOT, finish, start
from worker import CASES, make_model, run

from mlvae_tf import cluster
from mlvae_tf.errors import InputError
from mlvae_tf.model import MLVAE
from mlvae_tf.replicas import Replicas


def results(folder, count, cases):
    finish(start(count, ROOT / "tests/worker.py", folder, *cases))
    return {
        case: [np.load(folder / f"{case}-{n}.npz") for n in range(count)]
        for case in cases
    }


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    return results(tmp_path_factory.mktemp("two"), 2, CASES)


# Of float32, as Keras's layers are, the rounding of sums in another order; of
# the long one that of a hundred steps, each of which begins where the others
# have led.
TOLERANCES = {
    "compiled": 2e-5,
    "long": 1e-2,
    "penalties": 1e-6,
    "statistics": 1e-6,
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_workers_come_to_what_one_comes_to(of_two, case):
    compare(of_two[case], run(case), case)


@pytest.mark.slow
def test_a_step_leaves_no_thread_behind(of_two):
    for worker in of_two["long"]:  # After more than a hundred steps.
        assert worker["threads"] < 400


@pytest.mark.slow
def test_four_workers_come_to_what_one_comes_to(tmp_path):
    cases = "split", "all", "levels"
    found = results(tmp_path, 4, cases)
    for case in cases:
        compare(found[case], run(case), case)


def compare(workers, alone, case):
    first, *others = workers
    for other in others:
        for name, value in first.items():  # To the bit.
            if name == "threads":
                continue
            np.testing.assert_array_equal(other[name], value, name)
    tolerance = TOLERANCES.get(case, 1e-9)
    names = ["loss", "val_loss", "elbo_per_observation", "gradient_norm"]
    if case == "statistics":  # A worker normalizes by its own rows alone.
        names = []
    for name in names:
        np.testing.assert_allclose(first[name], alone[name], 1e-4, err_msg=name)
    model = make_model(case)
    for number, weight in enumerate(model.weights):
        name = f"weight{number}"
        moved = np.abs(alone[name] - weight.numpy()).max()
        error = np.abs(first[name] - alone[name]).max()
        if case != "statistics" or weight.path.endswith("moving_mean"):
            assert error <= tolerance * moved, (weight.path, error, moved)


def flags(dataset, folder):
    return [
        *(f"--dataset={dataset}", f"--workdir={folder}"),
        *("--holdout_observations=0.25", "--epochs=30", "--kl_warmup=0.2"),
        *("--groups_per_batch=2", "--observations_per_group=3"),
        *("--checkpoint_steps=10", "--evaluate_epochs=5", *SMALL),
    ]


def trained(dataset, folder, *more):
    """What the workers of a training print."""
    train = ROOT / "train.py", "--distribution=multi_worker"
    return start(2, *train, *flags(dataset, folder), *more)


@pytest.mark.slow
def test_a_worker_that_is_gone_ends_the_training_and_loses_nothing(
    dataset, tmp_path
):
    (said, _), (other, _) = finish(trained(dataset, tmp_path / "straight"))
    assert "Trained." in said
    assert not other  # The first says what there is to be said.
    devices = new_script(  # That are not there: processors take their place.
        "train.py",
        "--distribution=mirrored",
        *flags(dataset, tmp_path / "devices"),
        env=environment(CUDA_VISIBLE_DEVICES="0,1"),
    )
    assert devices.returncode == 0, devices.stderr
    assert devices.stdout == said.replace("straight", "devices")
    for ours, theirs in zip(
        weights(tmp_path / "devices"), weights(tmp_path / "straight")
    ):
        np.testing.assert_array_equal(ours, theirs)
    first, second = trained(dataset, tmp_path / "killed")
    while not list(tmp_path.glob("killed/checkpoints/*.index")):
        assert first.poll() is None
    second.send_signal(signal.SIGKILL)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 2
    assert "another worker is gone" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    second.communicate()
    resumed = finish(trained(dataset, tmp_path / "killed", "--resume"))
    assert "resuming at step" in resumed[0][0]
    for ours, theirs in zip(
        weights(tmp_path / "killed"), weights(tmp_path / "straight")
    ):
        np.testing.assert_array_equal(ours, theirs)
    alone = script("train.py", *flags(dataset, tmp_path / "alone"))
    assert alone.returncode == 0, alone.stderr
    for ours, theirs in zip(
        weights(tmp_path / "killed"), weights(tmp_path / "alone")
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=2e-3)


ALONE = '{"cluster": {"worker": ["a:1"]}'
EXPECTED = "TF_CONFIG must name all workers and which one this is"


class Half(Replicas):
    """One of two, whose sums are its own."""

    def check_alike(self, variables):
        pass


@pytest.mark.parametrize("sizes", [(36, 40, 38), (40, 38, 36)])
def test_shares_are_padded_alike_whatever_batch_comes_first(sizes, generator):
    """Or a run that is taken up would round otherwise."""
    model = MLVAE((4,), content_dim=2, style_dim=2, hidden_units=4)
    model.compile("sgd", jit_compile=True)
    model.expect_batches(40, 38.0)

    def batches():
        for size in sizes:
            yield {
                "observations": generator.uniform(size=(size, 4)),
                "group_ids": np.arange(size) % 4,
            }

    spec = {
        "observations": tf.TensorSpec((None, 4), "float32"),
        "group_ids": tf.TensorSpec((None,), "int64"),
    }
    dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
    model.fit(dataset, verbose=0, replicas=Half(2, 0))
    # Of 40 rows 20; no size was added on the way.
    assert model._share_sizes._sizes.numpy().tolist() == [20]


@pytest.mark.parametrize(
    "said",
    [
        None,
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        f'{ALONE}, "task": {{"type": "worker", "index": 1}}}}',
        f'{ALONE}, "task": {{"type": "chief", "index": 0}}}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": '
        '{"type": "worker", "index": 0}}',
    ],
)
def test_workers_that_are_not_named(monkeypatch, said):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if said is not None:
        monkeypatch.setenv("TF_CONFIG", said)
    with pytest.raises(InputError, match=EXPECTED):
        cluster.task()
