"""Name the groups of pictures: the best three of a content store.

    python identify.py --workdir=DIR --store=people.parquet --images=PATH

writes a CSV with a row per picture: file, group, score, second, second_score,
third, third_score. PATH names files and folders, comma-separated, in any order
and without groups; --dataset=SPEC asks of every observation of a dataset
instead, by row. `unknown` stands for a group whose score is below the threshold
that the run has learned from its training groups, or below --threshold. The
store is one that encode.py wrote with the same run; of a run with several
levels --store is the folder, and --level=NAME says whose groups are asked for.

Installed, it is `mlvae-identify`.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from absl import flags

from mlvae_tf import files
from mlvae_tf.data.config import DataConfig
from mlvae_tf.errors import InputError
from mlvae_tf.runs import command_line

if TYPE_CHECKING:
    from mlvae_tf.comparison import Comparison
    from mlvae_tf.model import MLVAE


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of the run.")
    flags.DEFINE_string(
        "store",
        None,
        "The content store, a .parquet table; of several levels their folder.",
    )
    flags.DEFINE_string(
        "level", None, "Whose groups are asked for, of a run with several."
    )
    flags.DEFINE_list(
        "images", [], "Pictures, or folders of them, comma-separated."
    )
    flags.DEFINE_float(
        "threshold",
        None,
        "The score from which on a group is known, in place of the run's; "
        "-inf names one always.",
    )
    flags.DEFINE_string("output", None, "The .csv file to write, not stdout.")
    flags.DEFINE_bool("overwrite", False, "Replace the output.")
    command_line.define_flags(DataConfig)


def main() -> None:
    """Answer."""
    given = flags.FLAGS
    folder = command_line.folder("workdir")
    settings = command_line.given_flags(DataConfig)
    _check(settings)
    output = None
    if given.output:
        output = pathlib.Path(given.output).expanduser()
        files.check_suffix(output, (".csv",))
        files.prepare(output, given.overwrite)

    command_line.import_tensorflow()
    from mlvae_tf.runs import answers
    from mlvae_tf.runs.encoding import Task
    from mlvae_tf.store.table import ContentStore, level_of

    task = Task.of(folder, settings, None, batch_size=1024)
    model = task.load_model()
    name = level_of(model, given.level).name
    level = name if len(model.levels) > 1 else None
    path = pathlib.Path(given.store).expanduser()
    store = ContentStore.load(path / f"{name}.parquet" if level else path)
    comparison, threshold, note = _compared(folder, model, name)
    if given.images:
        asked = answers.of_pictures(model, given.images)
    else:
        asked = answers.of_dataset(model, task)
    with _stream(output) as stream:
        asked_count, unknown = answers.write(
            stream, store, model, comparison, threshold, asked, level
        )
    place = f": {output}" if output else ""
    print(
        f"{note}{asked_count} observations, {unknown} of them unknown{place}",
        file=sys.stdout if output else sys.stderr,
    )


def _check(settings: dict[str, Any]) -> None:
    """Raise `InputError` where flags lack or mean nothing together."""
    given = flags.FLAGS
    if not given.store:
        raise InputError("--store=PATH is required: what encode.py wrote.")
    if bool(given.images) == ("dataset" in settings):
        raise InputError(
            "pass --images=PATH or --dataset=SPEC, one of the two: the "
            "observations whose groups are asked for."
        )
    if given.images and settings:
        raise InputError(
            f"--{next(iter(settings))} is for --dataset: pictures of --images "
            "are read as the model takes them."
        )
    if given.threshold is not None and math.isnan(given.threshold):
        raise InputError("--threshold must be a number: got nan.")


def _compared(
    folder: pathlib.Path, model: MLVAE, level: str
) -> tuple[Comparison, float, str]:
    """What compares contents, from which score on, and what to say of it."""
    from mlvae_tf.comparison import Comparison
    from mlvae_tf.runs import identification, workdir
    from mlvae_tf.store.table import level_of

    threshold = flags.FLAGS.threshold
    learned = (folder / workdir.IDENTIFICATION).exists()
    if threshold is not None and not learned:
        rule = level_of(model, level).accumulation
        return Comparison(rule=rule), threshold, ""
    found = identification.load(folder, model, level)
    if threshold is not None:
        return found.comparison, threshold, ""
    note = (
        f"compared by {found.comparison.way}, unknown below "
        f"{found.threshold:.6g}: of {found.observations} observations of "
        f"training groups, {found.rejected:.1%} were then unknown, and "
        f"{found.accepted:.1%} known once their group was taken out of "
        f"{found.groups}\n"
    )
    return found.comparison, found.threshold, note


@contextlib.contextmanager
def _stream(output: pathlib.Path | None) -> Iterator[TextIO]:
    """Where the answers go: a file, whole or not at all, or stdout."""
    if output is None:
        yield sys.stdout
        return
    with (
        files.whole(output) as partial,
        open(partial, "w", encoding="utf-8", newline="") as stream,
    ):
        yield stream


def run() -> None:
    """The command."""
    _define_flags()
    command_line.run(main, __doc__)


flags.disclaim_key_flags()  # They are the script's.
