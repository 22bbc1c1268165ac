"""Who is on this photograph? A client that has TensorFlow alone, and a table.

    python examples/who.py --export=EXPORT --people=TABLE --add=ann 1.jpg 2.jpg
    python examples/who.py --export=EXPORT --people=TABLE new.jpg

The first adds ann's photographs to the table, the second says whom of the table
a photograph shows. EXPORT is the folder of a SavedModel, such as
runs/photos/export/1; TABLE, such as people.parquet, has a row per person: the
name, and the evidence of that person's photographs, which adds up. No
photograph is kept.
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
        mode = "L" if wanted["channels"] == 1 else "RGB"
        size = wanted["width"], wanted["height"]
        pixels = np.asarray(upright.convert(mode).resize(size), np.float32)
    values = pixels / np.float32(about["values"]["divide_8_bit_by"])
    return values.reshape(wanted["height"], wanted["width"], -1)


def main() -> None:
    """Add photographs of a person, or ask whom photographs show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", type=pathlib.Path, required=True)
    parser.add_argument("--people", type=pathlib.Path, required=True)
    parser.add_argument("--add", help="The name of the person on them all.")
    parser.add_argument("photographs", nargs="+")
    given = parser.parse_args()

    about = json.loads((given.export / "assets" / "model.json").read_text())
    served = tf.saved_model.load(str(given.export)).signatures
    photographs = np.stack([read(path, about) for path in given.photographs])
    people: dict[str, dict[str, np.ndarray]] = {}
    if given.people.exists():
        for row in parquet.read_table(given.people).to_pylist():
            name = row.pop("name")
            people[name] = {k: np.array(v, np.float32) for k, v in row.items()}

    if given.add:
        nothing = np.zeros(about["levels"][0]["dim"], np.float32)
        before = people.get(given.add, dict.fromkeys(EVIDENCE, nothing))
        after = served["accumulate"](
            observations=tf.constant(photographs), **before
        )
        people[given.add] = {name: after[name].numpy() for name in EVIDENCE}
        rows = [
            {"name": name, **{k: v.tolist() for k, v in of.items()}}
            for name, of in people.items()
        ]
        parquet.write_table(pa.Table.from_pylist(rows), given.people)
        return
    stored = {k: np.stack([of[k] for of in people.values()]) for k in EVIDENCE}
    answer = served["identify"](observations=tf.constant(photographs), **stored)
    for path, scores in zip(given.photographs, answer["scores"].numpy()):
        best = int(scores.argmax())
        print(f"{path}: {list(people)[best]} ({scores[best]:.1f} nats)")


if __name__ == "__main__":
    main()
