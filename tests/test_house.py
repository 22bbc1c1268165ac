"""The house: each file imports only from those above it."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "mlvae_tf"

# From the ground up. A package stands where its last file may be imported.
FLOORS = (
    "version errors options files progress cluster replicas",
    "likelihoods.base likelihoods.continuous likelihoods.counts",
    "likelihoods.categorical likelihoods.missing likelihoods",
    "checks guards feeding noise evidence hierarchy rounding objective",
    "batches",
    "schedules networks directions flows layers levels latents style_flow",
    "codec principal",
    "reading lessons",
    "comparison contrast fingerprint elbo steps whole chunked replicated",
    "trackers bad_steps intake xla loop stepping trainer",
    "control serving.inputs serving.exif serving.pictures serving.requests",
    "serving.tracing serving.signatures serving.describing serving.warmup",
    "serving.writing serving inference model",
    "data.config data.observations data.images data.identity",
    "data.augmentation data.grouping data.grouped data.listing data.source",
    "data.sampling data.design data.crossing data.holdout data.splits",
    "data.pipeline data.batching",
    "data.sources.folder data.sources.idx data.sources.mnist_5k",
    "data.sources.npz data.sources.tfds data.sources data.loading data",
    "store.columns store.disk store.multiset store.queries store.ids",
    "store.table store.layout store.tables store.encoding store.levels",
    "store.embeddings store.beam store",
    "evaluation.bootstrap evaluation.posteriors evaluation.representations",
    "evaluation.together evaluation.classifiers evaluation.styles",
    "evaluation.probes",
    "evaluation.asked evaluation.calibration",
    "evaluation.judge evaluation.judged",
    "evaluation.likelihood evaluation.shots evaluation.verification",
    "evaluation.swaps evaluation.unseen evaluation.names",
    "evaluation.cells evaluation.grid evaluation.sprites",
    "evaluation.drawings evaluation.charts evaluation.explorer",
    "evaluation.comparing evaluation.identification evaluation.signs",
    "evaluation.remedies evaluation.doubts evaluation.notes evaluation.measure",
    "evaluation.guesses evaluation.learned evaluation.combinations",
    "evaluation.completed",
    "evaluation.crossed",
    "evaluation.tables evaluation.captions evaluation.verdict",
    "evaluation.report evaluation",
    "runs.config runs.presets runs.scaling runs.adapting runs.best",
    "runs.command_line",
    "runs.building runs.several runs.preparing runs.workdir",
    "runs.exports runs.starting runs.pictures runs.devices runs.trouble",
    "runs.planning runs.checkpoints runs.callbacks runs.watching runs.board",
    "runs.fitting",
    "runs.identification runs.training",
    "runs.evaluation runs.encoding runs.storing runs.answers runs",
    "commands.train commands.evaluate commands.encode commands.swap",
    "commands.identify commands",
)
ORDER = [name for floor in FLOORS for name in floor.split()]


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path):
    """The modules of the package that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *parts = name.split(".")
            if first != "mlvae_tf":
                continue
            while parts and ".".join(parts) not in ORDER:
                parts.pop()
            assert parts, f"{path} imports the roof: {name}"
            yield ".".join(parts)


def climbing(path, place):
    """What a file imports that stands no lower than itself."""
    return [name for name in imports(path) if ORDER.index(name) >= place]


def modules():
    # The package itself stands above all: it is the roof.
    return [path for path in PACKAGE.rglob("*.py") if name_of(path)]


def test_every_file_has_its_place():
    assert sorted(map(name_of, modules())) == sorted(ORDER)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_down(path):
    assert not climbing(path, ORDER.index(name_of(path)))


def test_an_import_upwards_is_seen(tmp_path):
    path = tmp_path / "evidence.py"
    path.write_text(
        "from mlvae_tf import noise\n"
        "from mlvae_tf.errors import InputError\n"
        "def late():\n    from mlvae_tf.data.sources import folder\n"
    )
    assert climbing(path, ORDER.index("evidence")) == ["data.sources.folder"]
    path.write_text("from mlvae_tf import MLVAE")
    with pytest.raises(AssertionError, match="the roof"):
        climbing(path, ORDER.index("evidence"))
