"""Kill a training again and again, and compare its end with an undisturbed one.

    python tests/kills.py --kills=20 --writes=10 [--workers=2] [--seed=0]

`--kills` of them come at random moments, `--writes` while a checkpoint is being
written. After each the training is taken up with `--resume`. Fails unless the
weights at the end are those of the run that nobody disturbed, to the bit.
"""

import pathlib
import random
import signal
import sys
import tempfile
import time

import numpy as np
from absl import app, flags
from scripts import SMALL, weights
from together import ROOT, finish, start

import mlvae_tf  # noqa: F401  # Which registers its classes with Keras.

_KILLS = flags.DEFINE_integer("kills", 20, "At random moments.")
_WRITES = flags.DEFINE_integer("writes", 10, "While a checkpoint is written.")
_WORKERS = flags.DEFINE_integer("workers", 1, "That train together.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the random moments.")

STEPS = 4000


def train(folder, *more):
    """The processes of a training."""
    data = folder.parent / "data.npz"
    if not data.exists():
        values = np.random.default_rng(0).uniform(size=(96, 8, 8, 1))
        np.savez(data, observations=values, group_ids=np.arange(96) % 8)
    several = ["--distribution=multi_worker"] if _WORKERS.value > 1 else []
    return start(
        _WORKERS.value, ROOT / "train.py", f"--dataset=npz:{data}",
        f"--workdir={folder}", f"--steps={STEPS}", "--checkpoint_steps=20",
        "--checkpoint_seconds=1000", "--groups_per_batch=4", *SMALL, *several,
        *more,
    )  # fmt: skip


def last_step(folder):
    names = (folder / "checkpoints").glob("ckpt-*.index")
    return max((int(p.stem.split("-")[1]) for p in names), default=0)


def kill(processes, folder, in_a_write, chance):
    """Kill one of the processes, and wait for the others to end.

    Returns:
        Whether it was killed before it had come to its end.
    """
    began = last_step(folder)
    until = time.monotonic() + chance.uniform(0, 3)
    while processes[0].poll() is None:
        advanced = last_step(folder) > began
        if (
            in_a_write
            and advanced
            and (folder / "checkpoints/.partial").exists()
        ):
            break
        if not in_a_write and advanced and time.monotonic() > until:
            break
        time.sleep(0.0005)
    gone = processes[0].poll() is None
    victim = 0 if in_a_write else chance.randrange(len(processes))
    processes[victim].send_signal(signal.SIGKILL)
    for process in processes:
        process.communicate(timeout=300)
    return gone


def main(_):
    chance = random.Random(_SEED.value)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        finish(train(folder / "straight"))
        kinds = [False] * _KILLS.value + [True] * _WRITES.value
        chance.shuffle(kinds)
        count, more = 0, []
        for number, in_a_write in enumerate(kinds):
            run = folder / "killed"
            if kill(train(run, *more), run, in_a_write, chance):
                count += 1
            more = ["--resume"] if last_step(run) else ["--overwrite"]
            print(f"kill {number + 1}, at step {last_step(run)}", flush=True)
        finish(train(folder / "killed", "--resume"))
        pairs = zip(weights(folder / "killed"), weights(folder / "straight"))
        same = all(np.array_equal(ours, theirs) for ours, theirs in pairs)
    said = "the same" if same else "NOT the same"
    print(f"killed {count} times; the weights are {said}")
    sys.exit(not same)


if __name__ == "__main__":
    app.run(main)
