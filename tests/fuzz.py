"""Damaged files of every kind, by the thousand: `make fuzz`.

Whole files are mutated, by Hypothesis's choices, and read. A reader gives what
is in the file or raises an `InputError`. Anything else is a finding: a crash, a
hang, memory without bound. The file is then kept, and the status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import multiprocessing
import os
import pathlib
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pictures import load
from PIL import Image

from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.model import MLVAE
from mlvae_tf.runs.config import Config
from mlvae_tf.runs.workdir import load_model
from mlvae_tf.store.table import ContentStore

SECONDS = 20  # For one input.
MEMORY = 2 << 30  # Bytes, beyond what the libraries take.
_NUMBERS = 0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF


# Files that are whole.


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 9, 8), np.uint8)


def _idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def _picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(_pixels()[0])
    image.save(buffer, kind, **({"exif": exif} if kind == "JPEG" else {}))
    return buffer.getvalue()


def _archive(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    split = np.array(["train"] * 9 + ["test"] * 3)
    names = np.array(list("abcabcabcabc"))
    save(buffer, observations=_pixels(), group_ids=names, split=split)
    return buffer.getvalue()


def _store(folder: pathlib.Path) -> bytes:
    generator = np.random.default_rng(0)
    evidence = Evidence(
        generator.uniform(1, 2, (5, 3)), generator.normal(size=(5, 3))
    )
    store = ContentStore.of(
        np.array(list("abcde")),
        np.ones(5, np.int64),
        evidence,
        np.arange(5, dtype=np.uint64),
        "product",
        "0123456789abcdef",
    )
    store.save(folder / "store.parquet")
    return (folder / "store.parquet").read_bytes()


def _run(folder: pathlib.Path) -> tuple[bytes, bytes]:
    """A run's model, and its configuration."""
    model = MLVAE((4, 4, 1), 3, 2, hidden_units=8)
    model.save(folder / "model.keras")
    config = json.dumps(Config().to_json()).encode()
    return (folder / "model.keras").read_bytes(), config


# What reads them: from a folder with the mutated file under a name.


def _read_archive(memory_gb: float):
    def read(folder: pathlib.Path) -> None:
        splits = load(f"npz:{folder / 'data.npz'}", memory_gb=memory_gb)
        splits.train.values(slice(0, 50))

    return read


def _read_idx(folder: pathlib.Path) -> None:
    load(f"idx:{folder}")


def _read_folder(folder: pathlib.Path) -> None:
    load(f"folder:{folder}")


def _read_store(folder: pathlib.Path) -> None:
    ContentStore.load(folder / "store.parquet")


def _read_model(folder: pathlib.Path) -> None:
    load_model(folder)


def _kinds(folder: pathlib.Path) -> dict:
    """By kind: the file's name, whole files to mutate, the reader, the rest."""
    model, config = _run(folder)
    labels = _idx(np.arange(12) % 3)
    numbers = _idx(_pixels())
    idx = {
        "train-labels-idx1-ubyte": labels,
        "t10k-labels-idx1-ubyte": labels,
        "t10k-images-idx3-ubyte": numbers,
    }
    pictures = "PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP"
    rest = {"a/1.png": _picture("PNG"), "b/1.png": _picture("PNG")}
    archives = [_archive(False), _archive(True)]
    images = [_picture(kind) for kind in pictures]
    return {
        "idx": ("train-images-idx3-ubyte", [numbers], _read_idx, idx),
        "idx, gzipped": (
            "train-images-idx3-ubyte.gz",
            [gzip.compress(numbers)],
            _read_idx,
            idx,
        ),
        "npz": ("data.npz", archives, _read_archive(2.0), {}),
        "npz, from the disk": (
            "data.npz",
            archives[:1],
            _read_archive(0.0),
            {},
        ),
        "folder": ("a/2.png", images, _read_folder, rest),
        "store": ("store.parquet", [_store(folder)], _read_store, {}),
        "model": ("model.keras", [model], _read_model, {"config.json": config}),
    }


# Mutations.


@st.composite
def _mutated(draw: st.DrawFn, wholes: list[bytes]) -> bytes:
    content = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 4))):
        if not content:
            break
        # Headers, at both ends, decide more than what is between.
        place = draw(st.integers(0, len(content) - 1) | st.integers(0, 40))
        place = min(place, len(content) - 1)
        if draw(st.booleans()):
            place = len(content) - 1 - place
        size = draw(st.integers(1, 16) | st.integers(1, len(content)))
        how = draw(st.integers(0, 6))
        if how == 0:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif how == 1:
            content[place : place + 16] = draw(st.binary(max_size=16))
        elif how == 2:
            del content[place : place + size]
        elif how == 3:
            content[place:place] = content[place : place + size]
        elif how == 4:
            del content[place:]
        elif how == 5:
            number = draw(st.sampled_from(_NUMBERS))
            width = draw(st.sampled_from((1, 2, 4, 8)))
            order = draw(st.sampled_from(("little", "big")))
            data = (number & (2 ** (8 * width) - 1)).to_bytes(width, order)
            content[place : place + width] = data
        else:
            other = draw(st.sampled_from(wholes))
            content[place:] = other[min(place, len(other)) :]
    return bytes(content)


# Running.


@contextlib.contextmanager
def _in_time():
    def stop(*_):
        raise TimeoutError(f"it took more than {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


class _Reading:
    """Reads mutated files of a kind, and counts what becomes of them."""

    def __init__(self, kind: str, found: pathlib.Path) -> None:
        self._kind, self._found = kind, found
        self._work = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
        name, self.wholes, self._read, rest = _kinds(self._work)[kind]
        self._path = self._work / name
        for other, content in {**rest, name: self.wholes[0]}.items():
            (self._work / other).parent.mkdir(parents=True, exist_ok=True)
            (self._work / other).write_bytes(content)
        self._read(self._work)  # Whole files are read; libraries are in memory.
        self._limit = _used() + MEMORY
        self._counts = {"read": 0, "refused": 0, "found": 0}
        self._slowest = 0.0

    def check(self, content: bytes) -> None:
        """Read a file of this content."""
        self._path.write_bytes(content)
        began = time.perf_counter()
        try:
            with _in_time():
                self._read(self._work)
            self._counts["read"] += 1
        except InputError:
            self._counts["refused"] += 1
        except BaseException as error:
            self._keep(error)
        self._slowest = max(self._slowest, time.perf_counter() - began)
        if _used() > self._limit:
            self._keep(MemoryError(f"{_used() >> 20} MiB are used"))
            os._exit(1)

    def _keep(self, error: BaseException) -> None:
        number = self._counts["found"] = self._counts["found"] + 1
        _keep(error, self._path, self._found / f"{self._kind}-{number}")

    def close(self) -> None:
        """Print what was seen."""
        counts = ", ".join(f"{n} {what}" for what, n in self._counts.items())
        print(
            f"{self._kind:20} {sum(self._counts.values()):7} inputs: {counts}; "
            f"slowest {self._slowest:.2f} s; at most {_used() >> 20} MiB",
            flush=True,
        )
        shutil.rmtree(self._work)


def _used() -> int:
    """Bytes of memory that this process has used at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _fuzz(kind: str, inputs: int, number: int, found: pathlib.Path) -> None:
    """Read so many mutated files; what is found lies in a folder."""
    warnings.simplefilter("ignore")
    reading = _Reading(kind, found)

    def check(content: bytes) -> None:
        reading.check(content)

    run = settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(seed(number)(given(_mutated(reading.wholes))(check)))
    run()
    reading.close()


def _keep(error: BaseException, path: pathlib.Path, kept: pathlib.Path) -> None:
    text = "".join(traceback.format_exception(error))
    last = text.strip().splitlines()[-1]
    known = {
        p.read_text().strip().splitlines()[-1] for p in _texts(kept.parent)
    }
    if last in known:  # One of each kind is enough.
        return
    kept.with_suffix(".txt").write_text(text)
    shutil.copy(path, kept)
    print(f"FOUND {last}: {kept}", flush=True)


def _texts(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("*.txt"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", help="with ; between; all by default")
    given_flags = parser.parse_args()
    found = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-found-"))
    names = list(_kinds(found))
    for name in ("store.parquet", "model.keras"):
        (found / name).unlink()
    kinds = given_flags.kinds.split(";") if given_flags.kinds else names
    share = -(-given_flags.inputs // len(kinds))
    context = multiprocessing.get_context("spawn")
    failed = False
    for kind in kinds:
        process = context.Process(
            target=_fuzz, args=(kind, share, given_flags.seed, found)
        )
        process.start()
        process.join()
        if process.exitcode:
            print(f"FOUND {kind}: the process ended with {process.exitcode}")
            failed = True
    failed = failed or bool(_texts(found))
    print(f"what was found is in {found}" if failed else "nothing found")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
