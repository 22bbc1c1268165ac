"""Swap content and style between pictures of yours.

    python swap.py --workdir=DIR --content=ANN,BOB --style=FILES --output=PNG

draws a grid: every content with every style. Each of --content, a file or a
folder, is a column: the pictures in a folder, which are all of one group, make
its content together. Each of --style, a file or every file of a folder, is a
row. The originals stand on the margins.

Installed, it is `mlvae-swap`.
"""

from __future__ import annotations

import pathlib

from absl import flags

from mlvae_tf import files
from mlvae_tf.errors import InputError
from mlvae_tf.runs import command_line


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of the run.")
    flags.DEFINE_list(
        "content",
        [],
        "Pictures, or folders of pictures of one group, whose contents are "
        "taken, comma-separated.",
    )
    flags.DEFINE_list(
        "style",
        [],
        "Pictures, or folders of them, whose styles are taken, "
        "comma-separated.",
    )
    flags.DEFINE_string("output", None, "The picture to write, a .png file.")
    flags.DEFINE_bool("overwrite", False, "Replace the output.")


def main() -> None:
    """Draw the grid."""
    given = flags.FLAGS
    folder = command_line.folder("workdir")
    for name in ("content", "style", "output"):
        if not given[name].value:
            raise InputError(f"--{name} is required.")
    output = pathlib.Path(given.output).expanduser()
    if output.suffix.lower() != ".png":
        raise InputError(f"--output must be a .png file: got {output}.")
    files.prepare(output, given.overwrite)

    command_line.import_tensorflow()
    from mlvae_tf.runs import pictures, workdir

    columns = [(place, pictures.find([place])) for place in given.content]
    rows = pictures.find(given.style)
    model = workdir.load_model(folder)
    with files.whole(output) as partial:
        partial.write_bytes(pictures.swap_grid(model, columns, rows))
    print(f"{len(columns)} contents in {len(rows)} styles: {output}")


def run() -> None:
    """The command."""
    _define_flags()
    command_line.run(main, __doc__)


flags.disclaim_key_flags()  # They are the script's.
