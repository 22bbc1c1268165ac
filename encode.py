"""Encode observations into a content store: a table with a row a group.

    python encode.py --workdir=DIR --output=PATH [--dataset=SPEC] [flags]

streams all observations of a dataset through the encoder of a trained run and
writes what they tell of their groups as Parquet: group, count, precision,
weighted_loc, loc, scale. Evidence adds up, so a stored table takes new
observations without the old ones, gives some back, or joins another:

    python encode.py ... --update=STORED           # add the dataset's
    python encode.py ... --update=STORED --remove  # take them back out
    python encode.py --merge=A,B --output=PATH     # join tables

With --beam the same job is a pipeline of Apache Beam, whose flags follow `--`:

    python encode.py ... --beam -- --runner=FlinkRunner
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

from mlvae_tf.commands import encode

if __name__ == "__main__":
    encode.run()
