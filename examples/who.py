"""Who is on this photograph? A client that has TensorFlow alone, and a table.

    python examples/who.py --export=EXPORT --people=TABLE new.jpg
    python examples/who.py --export=EXPORT --people=TABLE --output=MORE \
        --add=ann 1.jpg 2.jpg

The first says who of the table is on a photograph, the second writes a table
to which ann's photographs are added. EXPORT is a SavedModel, such as
runs/photos/export/1; TABLE, such as people.parquet, has a row per person: the
name and the evidence of that person's photographs, which adds up. encode.py
writes such tables, and so does this; without TABLE, MORE is a new one.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import tensorflow as tf
from PIL import Image, ImageOps

EVIDENCE = "precision", "weighted_loc"


def read(path: str, about: dict[str, dict[str, int]]) -> np.ndarray:
    """A photograph as the model takes it: its size, its colours, its scale."""
    wanted = about["observation"]
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        colored = upright.convert("L" if wanted["channels"] == 1 else "RGB")
        size = wanted["width"], wanted["height"]
        pixels = np.asarray(colored.resize(size, Image.Resampling.LANCZOS))
    values = pixels / np.float32(about["values"]["divide_8_bit_by"])
    return values.reshape(wanted["height"], wanted["width"], -1)


def main() -> None:
    """Add photographs of a person, or ask who is on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", type=pathlib.Path, required=True)
    parser.add_argument("--people", type=pathlib.Path)
    parser.add_argument("--add", help="The name of the person on them all.")
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("photographs", nargs="+")
    given = parser.parse_args()
    if bool(given.add) != bool(given.output) or not (given.add or given.people):
        parser.error("pass --people to ask, or --add and --output")

    about = json.loads((given.export / "assets" / "model.json").read_text())
    served = tf.saved_model.load(str(given.export)).signatures
    photographs = np.stack([read(path, about) for path in given.photographs])
    people: dict[str, dict[str, np.ndarray]] = {}
    if given.people:
        table = parquet.read_table(given.people, columns=["group", *EVIDENCE])
        for row in table.to_pylist():
            evidence = {k: np.array(row[k], np.float32) for k in EVIDENCE}
            people[str(row["group"])] = evidence

    if given.add:
        nothing = np.zeros(about["levels"][0]["dim"], np.float32)
        before = people.get(given.add, dict.fromkeys(EVIDENCE, nothing))
        after = served["accumulate"](observations=photographs, **before)
        people[given.add] = {name: after[name].numpy() for name in EVIDENCE}
        rows = [{"group": name, **of} for name, of in people.items()]
        parquet.write_table(pa.Table.from_pylist(rows), given.output)
        return
    stored = {k: np.stack([of[k] for of in people.values()]) for k in EVIDENCE}
    scores = served["identify"](observations=photographs, **stored)["scores"]
    for path, of_path in zip(given.photographs, scores.numpy()):
        best = int(of_path.argmax())
        print(f"{path}: {list(people)[best]} ({of_path[best]:.1f} nats)")


if __name__ == "__main__":
    main()
