"""Every kind of SPEC on data made here, and what is said of damaged data."""

import gzip
import os
import pathlib
import shutil
import struct

import numpy as np
import pytest
import requests
from pictures import write_images

from mlvae_tf import likelihoods
from mlvae_tf.data import loading, sources
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.observations import Stored

REAL = likelihoods.Normal()


def load(spec, likelihood=REAL, **settings):
    settings.setdefault("holdout_observations", 0.0)
    config = DataConfig(dataset=spec, **settings)
    return loading.load(config, seed=0, likelihood=likelihood)


def test_mnist_5k():
    splits = load("mnist_5k", holdout_observations=0.2)
    assert splits.train.observations.shape == (4000, 28, 28, 1)
    assert splits.train.observations.dtype == np.uint8
    counts = np.bincount(splits.validation.group_ids)
    assert counts.tolist() == [100] * 10
    assert splits.train.observations.max() == 255


class TestNpz:
    @pytest.fixture
    def arrays(self, generator):
        return {
            "observations": generator.normal(size=(6, 3)),
            "group_ids": np.array(list("aabbab")),
        }

    def load(self, tmp_path, **arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return load(f"npz:{tmp_path}/data.npz")

    def test_numbers(self, tmp_path, arrays):
        train = self.load(tmp_path, **arrays).train
        np.testing.assert_allclose(train.observations, arrays["observations"])
        assert train.observations.dtype == np.float32
        assert train.group_ids.tolist() == list("aabbab")

    def test_grey_images_get_their_channel(self, tmp_path, arrays):
        arrays["observations"] = np.zeros((6, 5, 4), np.uint8)
        train = self.load(tmp_path, **arrays).train
        assert train.observations.shape == (6, 5, 4, 1)

    def test_split(self, tmp_path, arrays):
        split = np.array(["train"] * 4 + ["test"] * 2)
        splits = self.load(tmp_path, **arrays, split=split)
        assert (len(splits.train), len(splits.test)) == (4, 2)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"group_ids": np.array(list("aab"))}, "3 ids for 6 observations"),
            ({"group_ids": np.ones(6)}, "integers or strings"),
            ({"observations": np.array(["x"] * 6)}, "observations must be"),
            ({"observations": np.full((6, 3), np.nan)},
             r"finite numbers: got NaN .* in 6 of 6 .* first at row 0 \(nan\)"),
            ({"observations": np.zeros((0, 3)), "group_ids": np.zeros(0, int)},
             "has no observations"),
            ({"split": np.array(["val"] * 6)}, "split must name train or"),
            ({"split": np.array(["test"] * 6)}, "no observations"),
            ({"group_ids": np.array([1, "a", None] * 2, object)},
             "Python objects, which is never unpickled"),
        ],
    )  # fmt: skip
    def test_bad_arrays(self, tmp_path, arrays, change, message):
        with pytest.raises(ValueError, match=message):
            self.load(tmp_path, **{**arrays, **change})

    @pytest.mark.parametrize(
        ("likelihood", "change", "message"),
        [
            (likelihoods.Bernoulli(), {}, r"numbers in \[0, 1\] .* from -1 to"),
            (likelihoods.Poisson(), {}, "counts: got values from -1 to 0.*-1"),
            (
                likelihoods.Categorical(4),
                {"observations": np.full((6, 3), 4, np.uint8)},
                "from 0 to 3, .* got values from 4 to 4",
            ),
        ],
    )
    def test_values_that_the_likelihood_does_not_take(
        self, tmp_path, arrays, likelihood, change, message
    ):
        arrays["observations"] = np.zeros((6, 3))
        arrays["observations"][4, 1] = -1
        np.savez(tmp_path / "data.npz", **{**arrays, **change})
        with pytest.raises(ValueError, match=rf"data\.npz: .*{message}"):
            load(f"npz:{tmp_path}/data.npz", likelihood)

    @pytest.mark.parametrize("memory_gb", [0.0, 1.0])
    def test_the_likelihood_tells_what_eight_bits_stand_for(
        self, tmp_path, arrays, generator, memory_gb
    ):
        bits = generator.integers(0, 256, (6, 3), np.uint8)
        arrays["split"] = np.array(["train"] * 4 + ["test"] * 2)
        np.savez(tmp_path / "a.npz", **{**arrays, "observations": bits})
        for likelihood, values in (
            (likelihoods.Bernoulli(), bits / np.float32(255)),
            (likelihoods.Poisson(), bits.astype(np.float32)),
        ):
            splits = load(
                f"npz:{tmp_path}/a.npz", likelihood, memory_gb=memory_gb
            )
            for part, rows in (
                (splits.train, slice(4)),
                (splits.test, slice(4, 6)),
            ):
                np.testing.assert_allclose(part.values(), values[rows])

    def test_missing_array(self, tmp_path):
        with pytest.raises(ValueError, match=r"must have the arrays.*got x"):
            self.load(tmp_path, x=np.zeros(3))

    def test_levels_are_the_arrays_that_are_named(self, tmp_path, arrays):
        arrays["light"] = np.arange(6) % 3
        np.savez(tmp_path / "data.npz", **arrays)
        spec = f"npz:{tmp_path}/data.npz"
        train = load(spec, groups=("light", "group_ids")).train
        ids = {name: of.ids.tolist() for name, of in train.levels.items()}
        assert ids == {"light": [0, 1, 2] * 2, "group_ids": list("aabbab")}
        one = load(spec, groups=("light",)).train
        assert one.group_ids.tolist() == [0, 1, 2] * 2
        assert list(one.levels) == ["content"]
        said = "observations and light and font: got group_ids, light, obs"
        with pytest.raises(ValueError, match=said):
            load(spec, groups=("light", "font"))

    def test_ids_that_are_not_known(self, tmp_path, arrays):
        arrays["light"] = np.array([0, -1, 1, -1, 0, 1])
        np.savez(tmp_path / "data.npz", **arrays)
        spec, groups = f"npz:{tmp_path}/data.npz", ("group_ids", "light")
        with pytest.raises(ValueError, match=r"npz:.*2 of 6 .* rows 1, 3\."):
            load(spec, groups=groups)
        train = load(spec, groups=groups, missing_groups="own").train
        assert len(train.others["light"].groups) == 4

    @pytest.mark.parametrize("content", [b"", b"PK\3\4abc", b"no archive"])
    def test_a_damaged_file(self, tmp_path, content):
        (tmp_path / "data.npz").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"data\.npz (is damaged|cannot be read)"
        ):
            load(f"npz:{tmp_path}/data.npz")

    def test_a_truncated_file(self, tmp_path, arrays):
        self.load(tmp_path, **arrays)
        path = tmp_path / "data.npz"
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ValueError, match=r"is damaged|cannot be read"):
            load(f"npz:{path}")

    def test_a_single_array(self, tmp_path):
        np.save(tmp_path / "one.npy", np.zeros(3))
        with pytest.raises(ValueError, match=r"or no \.npz archive"):
            load(f"npz:{tmp_path}/one.npy")

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ValueError, match="there is no such file"):
            load(f"npz:{tmp_path}/nope.npz")


def assert_streams(spec, **settings):
    """What is read from the disk is what would be in memory."""
    settings.setdefault("holdout_observations", 0.4)
    settings.setdefault("holdout_groups", 0.5)
    kept = load(spec, **settings)
    streamed = load(spec, memory_gb=0.0, **settings)
    for name in ("train", "validation", "test", "unseen"):
        here, there = getattr(kept, name), getattr(streamed, name)
        assert (here is None) == (there is None)
        if here is None:
            continue
        assert isinstance(here.observations, np.ndarray)
        assert isinstance(there.observations, Stored)
        assert there.observations.shape == here.observations.shape
        assert there.observations.dtype == here.observations.dtype
        assert np.array_equal(there.group_ids, here.group_ids)
        rows = np.random.default_rng(0).integers(0, len(here), 20)
        for some in (slice(None), slice(1, 3), rows, rows[:0]):
            assert np.array_equal(
                there.observations[some], here.observations[some]
            )
        assert np.array_equal(
            there[rows].observations[:], here[rows].observations
        )
    return streamed


class TestStreamed:
    @pytest.mark.parametrize("dtype", [np.uint8, np.float64, ">i2"])
    @pytest.mark.parametrize("shape", [(3,), (5, 4), (5, 4, 3)])
    def test_npz(self, tmp_path, generator, dtype, shape):
        np.savez(
            tmp_path / "data.npz",
            a_first_array=np.zeros(7),
            observations=generator.integers(0, 255, (40, *shape)).astype(dtype),
            group_ids=np.arange(40) % 4,
            split=np.array(["train", "train", "train", "test"] * 10)[::-1],
        )
        assert_streams(f"npz:{tmp_path}/data.npz")

    def test_folder(self, tmp_path):
        write_images(tmp_path / "train", ("bob", "ann", "zoe"), 5)
        write_images(tmp_path / "test", ("bob", "eve"), 2)
        assert_streams(f"folder:{tmp_path}")

    @pytest.mark.parametrize("settings", [{}, {"mode": "F"}])
    def test_what_cannot_be_read_in_part(self, tmp_path, settings):
        observations = np.zeros((6, 3), order=settings.get("mode", "C"))
        save = np.savez if settings else np.savez_compressed
        save(
            tmp_path / "data.npz",
            observations=observations,
            group_ids=np.arange(6),
        )
        spec = f"npz:{tmp_path}/data.npz"
        assert len(load(spec).train) == 6
        with pytest.raises(ValueError, match=r"np\.savez.*--memory_gb"):
            load(spec, memory_gb=0.0)

    def test_headers_tell_of_sizes_that_differ(self, tmp_path):
        write_images(tmp_path, ("a",))
        write_images(tmp_path, ("b",), shape=(7, 7, 3))
        spec, config = f"folder:{tmp_path}", {"memory_gb": 0.0}
        with pytest.raises(ValueError, match=r"b/\d.png 7 and 7"):
            load(spec, **config)
        train = load(spec, **config, image_size=4, colors="grey").train
        assert train.observations[:].shape == (6, 4, 4, 1)

    def test_an_image_damaged_after_loading(self, tmp_path):
        write_images(tmp_path, shape=(60, 50))
        train = load(f"folder:{tmp_path}", memory_gb=0.0).train
        path = tmp_path / "bob" / "1.png"
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(ValueError, match=r"bob/1.png cannot be decoded"):
            train.observations[:]

    def test_a_file_that_has_become_shorter(self, tmp_path):
        path = tmp_path / "data.npz"
        np.savez(path, group_ids=np.arange(99), observations=np.zeros((99, 9)))
        train = load(f"npz:{path}", memory_gb=0.0).train
        os.truncate(path, 2000)
        with pytest.raises(ValueError, match="has become shorter"):
            train.observations[:]


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


class TestIdx:
    @pytest.fixture
    def folder(self, tmp_path):
        for prefix, count in (("train", 6), ("t10k", 4)):
            images = np.arange(count * 12).reshape(count, 4, 3)
            labels = np.arange(count) % 2
            path = tmp_path / f"{prefix}-images-idx3-ubyte.gz"
            path.write_bytes(gzip.compress(idx(images)))
            path = tmp_path / f"{prefix}-labels.idx1-ubyte"
            path.write_bytes(idx(labels))
        return tmp_path

    def test_gzipped_or_not(self, folder):
        splits = load(f"idx:{folder}")
        assert splits.train.observations.shape == (6, 4, 3, 1)
        assert splits.train.observations.ravel().tolist() == list(range(72))
        assert splits.train.group_ids.tolist() == [0, 1] * 3
        assert len(splits.test) == 4

    @pytest.mark.parametrize("name", ["train-labels.idx1-ubyte"])
    @pytest.mark.parametrize("kept", [0, 3, 6, 10])
    def test_a_truncated_file(self, folder, name, kept):
        path = folder / name
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ValueError, match=f"{name} is (no IDX|truncated)"):
            load(f"idx:{folder}")

    def test_a_truncated_archive(self, folder):
        path = folder / "train-images-idx3-ubyte.gz"
        path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(ValueError, match="cannot be read"):
            load(f"idx:{folder}")

    def test_labels_for_other_images(self, folder):
        (folder / "train-labels.idx1-ubyte").write_bytes(idx(np.zeros(5)))
        with pytest.raises(ValueError, match=r"got \(6, 4, 3\) and \(5,\)"):
            load(f"idx:{folder}")

    def test_a_missing_file(self, folder):
        (folder / "t10k-labels.idx1-ubyte").unlink()
        with pytest.raises(ValueError, match="t10k-labels-idx"):
            load(f"idx:{folder}")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data set in TFDS's own format, and the folder it lies in."""
    import tensorflow_datasets as tfds

    class TinyFaces(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "small": tfds.features.Image(shape=(4, 4, 1)),
                "who": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["x", "y"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, download_manager):
            return {"train": self._examples(8), "test": self._examples(4)}

        def _generate_examples(self):
            raise NotImplementedError

        def _examples(self, count):
            for i in range(count):
                yield (
                    i,
                    {
                        "image": np.full((8 + i % 2, 8, 3), 10 * i, np.uint8),
                        "small": np.full((4, 4, 1), i, np.uint8),
                        "who": f"person {i % 4}",
                        "label": i % 2,
                    },
                )

    folder = tmp_path_factory.mktemp("tfds")
    TinyFaces(data_dir=folder).download_and_prepare()
    return folder


def read_from(folder, monkeypatch):
    """TensorFlow Datasets reads the variable once, or whenever it loads."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    monkeypatch.setattr(
        "tensorflow_datasets.core.constants.DATA_DIR", str(folder)
    )


class TestTfds:
    @pytest.fixture(autouse=True)
    def _folder(self, prepared, monkeypatch):
        read_from(prepared, monkeypatch)

    def test_features_and_splits(self):
        splits = load("tfds:tiny_faces", observation_feature="small")
        assert splits.train.observations.shape == (8, 4, 4, 1)
        shades = splits.train.observations[:, 0, 0, 0]
        assert sorted(shades) == list(range(8))
        assert np.array_equal(splits.train.group_ids, shades % 2)
        assert len(splits.test) == 4

    def test_resized_grey_images_of_named_people(self):
        config = {"image_size": 4, "colors": "grey", "groups": ("who",)}
        train = load("tfds:tiny_faces", **config).train
        assert train.observations.shape == (8, 4, 4, 1)
        assert train.observations.dtype == np.uint8
        shades = train.observations[:, 0, 0, 0].astype(int)
        assert np.abs(np.sort(shades) - np.arange(0, 80, 10)).max() <= 1
        people = [f"person {round(s / 10) % 4}" for s in shades]
        assert train.group_ids.tolist() == people

    def test_sizes_that_differ(self):
        with pytest.raises(ValueError, match=r"differ in size.*--image_size"):
            load("tfds:tiny_faces")

    @pytest.mark.parametrize(
        "settings",
        [
            {"observation_feature": "small"},
            {"image_size": 4, "colors": "grey", "groups": ("who",)},
        ],
    )
    def test_streamed(self, settings):
        assert_streams("tfds:tiny_faces", **settings)

    def test_a_file_that_has_become_shorter(
        self, prepared, tmp_path, monkeypatch
    ):
        copy = tmp_path / "copy"
        shutil.copytree(prepared, copy)
        read_from(copy, monkeypatch)
        train = load(
            "tfds:tiny_faces", memory_gb=0.0, observation_feature="small"
        ).train
        (path,) = copy.rglob("*train.tfrecord*")
        os.truncate(path, path.stat().st_size - 20)
        with pytest.raises(ValueError, match=r"tfrecord.* cannot be decoded"):
            train.observations[:]

    def test_several_levels_of_features(self):
        train = load(
            "tfds:tiny_faces",
            observation_feature="small",
            groups=("who", "label"),
        ).train
        shades = train.observations[:, 0, 0, 0]
        who, label = train.levels.values()
        assert label.ids.tolist() == (shades % 2).tolist()
        assert who.ids.tolist() == [f"person {s % 4}" for s in shades]
        with pytest.raises(ValueError, match="digits alone, one level"):
            load("mnist_5k", groups=("digit", "writer"))

    def test_an_unknown_feature(self):
        message = r"--groups must name a .* one of image, label, small, who"
        with pytest.raises(ValueError, match=message):
            load("tfds:tiny_faces", groups=("age",))

    def test_an_unknown_name(self):
        with pytest.raises(ValueError, match="tfds:no_such_set is not in"):
            load("tfds:no_such_set")

    def test_what_cannot_be_downloaded_is_not_tried(self, monkeypatch):
        def refuse(url, timeout, **kwargs):
            assert timeout <= 5
            raise requests.ConnectionError

        def never(*args, **kwargs):
            raise AssertionError("a download was tried")

        monkeypatch.setattr(requests, "head", refuse)
        monkeypatch.setattr(
            "tensorflow_datasets.core.DatasetBuilder.download_and_prepare",
            never,
        )
        message = r"tfds:mnist is not .* reached.*tfds build mnist.*idx:PATH"
        with pytest.raises(ValueError, match=message):
            load("tfds:mnist")


@pytest.mark.parametrize("spec", ["", "mnist", "csv:x", "npz:", "mnist_5k:x"])
def test_unknown_specs(spec):
    with pytest.raises(ValueError, match="--dataset must be mnist_5k, tfds:"):
        load(spec)


def test_every_kind_has_its_module():
    folder = pathlib.Path(sources.__file__).parent
    for kind in loading.KINDS:
        assert (folder / f"{kind}.py").exists()


class TestDamage:
    """What `make fuzz` found."""

    def test_more_axes_than_an_array_may_have(self, tmp_path):
        path = tmp_path / "train-images-idx3-ubyte"
        path.write_bytes(b"\0\0\x08\xd8" + bytes(900))
        with pytest.raises(ValueError, match=r"axes up to 8, got 00 00 08 d8"):
            load(f"idx:{tmp_path}")

    def test_sizes_that_no_machine_has(self, tmp_path):
        path = tmp_path / "train-images-idx3-ubyte.gz"
        header = struct.pack(">I3I", 0x803, *[2**32 - 1] * 3)
        path.write_bytes(gzip.compress(header + bytes(100)))
        with pytest.raises(ValueError, match=r"expected 79228162458924105\d+"):
            load(f"idx:{tmp_path}")

    @pytest.mark.parametrize(
        ("place", "value"),
        [(6, b"\x01\x00"), (8, b"\x63\x00")],  # Encrypted; an unknown method.
    )
    @pytest.mark.parametrize("memory_gb", [2.0, 0.0])
    def test_an_archive_that_cannot_be_opened(
        self, tmp_path, place, value, memory_gb
    ):
        path = tmp_path / "data.npz"
        np.savez(path, observations=np.zeros((4, 3)), group_ids=np.arange(4))
        content = bytearray(path.read_bytes())
        for magic, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
            start = content.index(magic) + place + shift
            content[start : start + 2] = value
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"data\.npz cannot be read"):
            load(f"npz:{path}", memory_gb=memory_gb)


@pytest.mark.parametrize(
    ("dtype", "kind", "shape"),
    [
        (np.uint8, None, (6, 5, 4, 1)),
        (np.uint8, "series", (6, 5, 4)),
        (np.float32, None, (6, 5, 4)),
        (np.float64, "images", (6, 5, 4, 1)),
    ],
)
@pytest.mark.parametrize("memory_gb", [2.0, 0.0])
def test_images_and_series(tmp_path, dtype, kind, shape, memory_gb):
    values = np.arange(120).reshape(6, 5, 4).astype(dtype)
    path = tmp_path / "data.npz"
    np.savez(path, observations=values, group_ids=np.arange(6) % 2)
    config = DataConfig(f"npz:{path}", kind=kind, memory_gb=memory_gb)
    source = sources.npz.load(str(path), config)
    assert source.train.observations.shape == shape
    np.testing.assert_array_equal(
        source.train.read(np.arange(6)), values.reshape(shape)
    )
    said = "observations are series of 5 steps and 4 channels" in " ".join(
        source.notes
    )
    assert said == (len(shape) == 3)
