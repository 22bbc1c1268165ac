"""What Keras promises of a model that is trained, kept or refused in words."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import mlvae_tf
from mlvae_tf.errors import InputError


@pytest.fixture
def model(make_model):
    model = make_model(dtype="float32")
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    return model


def dataset_of(batch):
    return tf.data.Dataset.from_tensors(batch)


def chunks_of(batch):
    images = tf.data.Dataset.from_tensor_slices(batch["observations"])
    return dataset_of({**batch, "observations": images.batch(5)})


@pytest.mark.parametrize(
    ("convert", "jit_compile"),
    [
        (dataset_of, False),
        pytest.param(dataset_of, True, marks=pytest.mark.slow),
        pytest.param(chunks_of, False, marks=pytest.mark.slow),
        pytest.param(chunks_of, True, marks=pytest.mark.slow),
    ],
)
def test_float16_trains_as_float32_does(
    make_model, batch, jit_compile, convert
):
    """Without the optimizer's scaled loss, an update is 3e-5 of float32's."""
    steps = 100 if convert is dataset_of else 15  # Chunks take their time.
    weights, losses = [], []
    for dtype in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(0)
        model = make_model(dtype=dtype)
        model.compile(keras.optimizers.SGD(1e-3), jit_compile=jit_compile)
        start = model.encoder.weights[0].numpy()
        data = convert(batch)
        model.fit(data, verbose=0)
        weights.append(model.encoder.weights[0].numpy() - start)
        history = model.fit(data.repeat(steps - 1), verbose=0).history
        losses.append(history["loss"][0])
    moved = np.linalg.norm(weights[1]) / np.linalg.norm(weights[0])
    assert 0.95 < moved < 1.05
    assert abs(losses[1] / losses[0] - 1) < 0.05


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_are_kept_in_full(make_model, dtype):
    with pytest.raises(InputError, match=f"dtype='mixed_{dtype}'"):
        make_model(dtype=dtype)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sample_weight": np.ones(12)}, "fit takes no sample_weight here"),
        ({"class_weight": {0: 1.0}}, "fit takes no class_weight here"),
        ({"y": np.ones(12)}, "fit takes no y here"),
        ({"validation_split": 0.5}, "fit takes no validation_split here"),
        ({"validation_data": (1, 2)}, "no targets and no sample weights"),
    ],
)
def test_what_fit_would_ignore_is_refused(model, batch, arguments, said):
    before = model.get_weights()
    with pytest.raises(InputError, match=said):
        model.fit(batch, verbose=0, **arguments)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "arguments",
    [
        {"loss": "mse"},
        {"metrics": ["accuracy"]},
        {"weighted_metrics": ["accuracy"]},
        {"loss_weights": [1.0]},
    ],
    ids=str,
)
def test_what_compile_would_ignore_is_refused(make_model, arguments):
    (name,) = arguments
    with pytest.raises(InputError, match=f"compile takes no {name} here"):
        make_model().compile("adam", **arguments)


class Batches(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 2

    def __getitem__(self, index):
        part = slice(index * 6, index * 6 + 6)
        return {name: values[part] for name, values in self.batch.items()}


def generator_of(batch):
    dataset = Batches(batch)
    while True:
        yield from (dataset[i] for i in range(2))


@pytest.mark.parametrize("kind", ["PyDataset", "generator", "dataset", "dict"])
def test_string_ids_from_anywhere_train_alike(make_model, batch, kind):
    # As Keras casts arrays, but not datasets.
    batch["observations"] = batch["observations"].astype(np.float32)
    parts = [Batches(batch)[i] for i in range(2)]
    makers = {
        "PyDataset": lambda: Batches(batch),
        "generator": lambda: generator_of(batch),
        "dict": lambda: batch,
        "dataset": lambda: dataset_of(parts[0]).concatenate(
            dataset_of(parts[1])
        ),
    }

    def weights(kind):
        keras.utils.set_random_seed(0)
        model = make_model()
        model.compile("adam", jit_compile=False)
        model.fit(
            makers[kind](),
            batch_size=6 if kind == "dict" else None,
            steps_per_epoch=2,
            shuffle=False,
            verbose=0,
            validation_data=(batch, None),
        )
        return model.get_weights()

    for one, other in zip(weights(kind), weights("dataset"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def mixed(kind):
    ids = np.array(list("bacabbdeaabd"), object)
    ids[[3, 7]] = {"None": None, "nan": np.nan, "mixed": 5}[kind]
    return ids


@pytest.mark.parametrize("kind", ["None", "nan", "mixed"])
@pytest.mark.parametrize("as_list", [False, True])
def test_ids_that_are_none(model, batch, kind, as_list):
    ids = mixed(kind).tolist() if as_list else mixed(kind)
    said = "all be strings: got 2 of 12 that are not, the first at row 3"
    with pytest.raises(InputError, match=said):
        model.fit({**batch, "group_ids": ids}, verbose=0)
    with pytest.raises(InputError, match=said):
        model.infer_content(batch["observations"], ids)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (np.arange(12.0), r"got float64\. Pass group_ids\.astype\(int\)"),
        (np.arange(12) > 3, r"got bool\. Pass group_ids\.astype\(int\)"),
        (np.array([None] * 12), "got 12 of 12 that are not"),
    ],
)
def test_ids_of_another_type(model, batch, ids, said):
    with pytest.raises(InputError, match=said):
        model.fit({**batch, "group_ids": ids}, verbose=0)
    with pytest.raises(InputError, match=said):
        model.infer_content(batch["observations"], ids)


@pytest.mark.parametrize(
    "convert",
    [
        lambda ids: ids.astype(object),
        lambda ids: ids.tolist(),
        lambda ids: ids.astype("S"),
        lambda ids: ids.astype("S").astype(object),
        lambda ids: np.unique(ids, return_inverse=True)[1].astype(object),
        lambda ids: np.unique(ids, return_inverse=True)[1].astype(np.uint8),
        tf.constant,
    ],
)
def test_ids_of_any_plain_kind(model, batch, convert):
    ids = batch["group_ids"]
    expected = model.infer_content(batch["observations"], ids)[1]
    given = convert(ids)
    groups, content = model.infer_content(batch["observations"], given)
    np.testing.assert_array_equal(content.loc, expected.loc)
    if groups.dtype.kind == "U":
        assert groups.tolist() == ["b", "a", "c", "d", "e"]
    history = model.fit({**batch, "group_ids": given}, verbose=0, batch_size=12)
    assert np.isfinite(history.history["loss"]).all()


def test_val_loss_has_the_final_weights(make_model, batch):
    """Early stopping on it would otherwise keep the first epoch."""
    model = make_model(
        dtype="float32", style_kl_weight=mlvae_tf.Warmup(1.0, 50.0, 1000)
    )
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    data = dataset_of(batch)
    history = model.fit(data, validation_data=data, epochs=2, verbose=0).history
    for epoch in range(2):
        expected = (
            history["val_content_kl"][epoch]
            + 50 * history["val_style_kl"][epoch]
            - history["val_reconstruction"][epoch]
        )
        np.testing.assert_allclose(
            history["val_loss"][epoch], expected, rtol=1e-5
        )


def test_compiling_again_says_that_schedules_begin_anew(make_model, batch):
    model = make_model(style_kl_weight=mlvae_tf.Warmup(20.0, 1.0, 100))
    model.compile("adam", jit_compile=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.compile("adam", jit_compile=False)  # Nothing is lost yet.
    model.fit(batch, verbose=0, batch_size=12)
    with pytest.warns(UserWarning, match=r"iterations\.assign\(1\)"):
        model.compile("adam", jit_compile=False)
    optimizer = keras.optimizers.Adam()
    optimizer.iterations.assign(1)
    model.fit(batch, verbose=0, batch_size=12)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.compile(optimizer, jit_compile=False)


def test_all_layers_frozen(model, batch):
    model.trainable = False
    model.compile("adam", jit_compile=False)
    before = model.get_weights()
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        history = model.fit(batch, verbose=0, batch_size=12).history
    assert np.isfinite(history["loss"][0])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_two_models_keep_their_own_iterators(make_model, batch):
    """A failed one's is kept for it alone, and the other's is let go."""
    one, other = make_model(dtype="float32"), make_model(dtype="float32")
    for model in (one, other):
        model.compile("adam", jit_compile=False)
    bad = {**batch, "observations": batch["observations"] * 9}
    with pytest.raises(InputError):
        one.fit(dataset_of(bad), verbose=0)
    assert "train" in one.__dict__["_iterators"]
    other.fit(dataset_of(batch), verbose=0)
    assert "_iterators" not in other.__dict__
    assert "train" in one.__dict__["_iterators"]


def test_a_distribution_strategy_is_refused(make_model, batch):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = make_model(dtype="float32")
        model.compile("adam")
        with pytest.raises(InputError, match="would divide the groups"):
            model.fit(batch, verbose=0)


@pytest.mark.parametrize(
    ("dtype", "as_text"),
    [
        ("float32", True),
        pytest.param("float32", False, marks=pytest.mark.slow),
        ("float64", False),
        pytest.param("float64", True, marks=pytest.mark.slow),
    ],
)
def test_export_writes_the_signatures(
    make_model, batch, tmp_path, dtype, as_text
):
    model = make_model(dtype=dtype)
    model.compile("adam", jit_compile=False)
    model.fit(batch, verbose=0)
    path = tmp_path / "export"
    model.export(str(path) if as_text else path)
    served = tf.saved_model.load(str(path)).signatures
    assert "swap" in served
    images = tf.constant(batch["observations"], tf.float32)
    for name, inputs in {
        "encode": {"observations": images},
        "reconstruct": {
            "observations": images,
            "group_ids": tf.constant(batch["group_ids"]),
        },
        "decode": {"content": tf.ones((2, 3)), "style": tf.ones((2, 2))},
    }.items():
        for output in served[name](**inputs).values():
            assert output.dtype == tf.float32
    with pytest.raises(InputError, match="format='onnx'"):
        model.export(path, format="onnx")


def four_batches(batch):
    parts = [slice(0, 4), slice(4, 12), slice(2, 9), slice(1, 8)]
    batches = [
        {name: values[part] for name, values in batch.items()} for part in parts
    ]
    sets = [dataset_of(part) for part in batches]
    return functools.reduce(lambda a, b: a.concatenate(b), sets)


@pytest.mark.parametrize("at_once", [1, 2])
def test_fit_goes_on_within_an_epoch(make_model, batch, at_once):
    data, models = four_batches(batch), []
    for first in (0, 2):
        keras.utils.set_random_seed(0)
        model = make_model(style_kl_weight=mlvae_tf.Warmup(20.0, 1.0, 8))
        model.compile("adam", jit_compile=False, steps_per_execution=at_once)
        whole = {"steps_per_epoch": 4, "shuffle": False, "verbose": 0}
        if first:
            model.fit(data.take(2), **{**whole, "steps_per_epoch": 2})
        rest = data.skip(first).concatenate(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Of too few batches.
            model.fit(rest, epochs=2, initial_step=first, **whole)
        models.append(model)
    assert int(models[1].optimizer.iterations) == 8
    for one, other in zip(*(model.get_weights() for model in models)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("initial_step", "steps_per_epoch", "as_dataset"),
    [(2, None, True), (4, 4, True), (-2, 4, True), (1, 4, True), (2, 4, False)],
)
def test_steps_that_fit_cannot_go_on_from(
    make_model, batch, initial_step, steps_per_epoch, as_dataset
):
    model = make_model()
    model.compile("adam", jit_compile=False, steps_per_execution=2)
    with pytest.raises(InputError, match=f"got initial_step={initial_step}, "):
        model.fit(
            four_batches(batch) if as_dataset else batch,
            initial_step=initial_step,
            steps_per_epoch=steps_per_epoch,
            verbose=0,
        )
    assert int(model.optimizer.iterations) == 0


def test_a_fit_that_fails_leaves_no_step_to_pass(make_model, batch):
    class Failing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError

    model = make_model()
    model.compile("adam", jit_compile=False)
    data = four_batches(batch)
    with pytest.raises(RuntimeError):
        model.fit(
            data.skip(3),
            initial_step=3,
            steps_per_epoch=4,
            callbacks=[Failing()],
            verbose=0,
        )
    assert int(model.optimizer.iterations) == 0
    model.train_on_batch(batch)
    assert int(model.optimizer.iterations) == 1


def ragged(generator, count):
    """Batches of 129 to 256 vectors, in pairs."""
    for size in generator.integers(129, 257, count):
        values = generator.uniform(size=(size, 6)).astype(np.float32)
        ids = np.arange(size) // 2
        yield {"observations": values, "group_ids": ids}


def programs(monkeypatch, train):
    """The sizes of batches for which XLA compiles while a model is trained."""
    sizes = set()

    def noted(function, jit_compile=False, **_):
        def note(part):
            sizes.add(len(part.observations))
            return function(part)

        return note if jit_compile else function

    # Without a graph, whose shapes are not known.
    monkeypatch.setattr(tf, "function", noted)
    train()
    return sizes


@pytest.mark.parametrize("told", [True, False])
def test_ragged_batches_are_few_programs(monkeypatch, generator, told):
    """One of a run that says how large its batches are; three at most."""
    model = mlvae_tf.MLVAE((6,), 2, 2, hidden_units=4)
    model.compile("adam", jit_compile=True)
    signature = {
        "observations": tf.TensorSpec((None, 6)),
        "group_ids": tf.TensorSpec((None,), tf.int64),
    }
    data = tf.data.Dataset.from_generator(
        lambda: ragged(generator, 30), output_signature=signature
    )
    if told:
        model.expect_batches(256, 190.0)
    sizes = programs(monkeypatch, lambda: model.fit(data, verbose=0))
    assert 1 <= len(sizes) <= (1 if told else 3)
    # XLA gains nothing where nothing is learned.
    assert not programs(monkeypatch, lambda: model.evaluate(data, verbose=0))


def test_inference_is_traced_once(make_model, batch):
    model = make_model(style_given_content=True)
    images = np.concatenate([batch["observations"]] * 3)
    ids = np.concatenate([batch["group_ids"]] * 3)
    for count in (36, 30, 7, 1):
        model.infer_observations(images[:count], batch_size=8)
        model.infer_style(images[:count], ids[:count])
        model.infer_content(images[:count], ids[:count])
    functions = model._reader._encode, model._reader._given_style
    assert [f.experimental_get_tracing_count() for f in functions] == [1, 1]


@pytest.mark.parametrize("chosen", [None, True, False])
def test_iterators_are_not_tuned_unless_asked(model, batch, chosen):
    """Who destroys one would wait for its thread."""
    data = dataset_of(batch)
    if chosen is not None:
        options = tf.data.Options()
        options.autotune.enabled = chosen
        data = data.with_options(options)
    prepared = model._prepare(data)
    assert prepared.options().autotune.enabled is bool(chosen)


@pytest.mark.parametrize(
    ("trunk", "has_fast", "compiled"),
    [("conv", True, False), ("conv", False, True), ("mlp", True, True)],
)
def test_xla_is_left_out_where_convolutions_are_faster(
    make_model, monkeypatch, trunk, has_fast, compiled
):
    fast = "mlvae_tf.xla._has_fast_convolutions"
    monkeypatch.setattr(fast, lambda: has_fast)
    model = make_model(trunk=trunk, observation_shape=(8, 8, 1))
    model.compile("adam")
    assert model.compiles_step is compiled
    model.compile("adam", jit_compile=True)
    assert model.compiles_step
