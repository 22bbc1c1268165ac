import os
import subprocess
import sys

import numpy as np
import pytest

from mlvae_tf.evaluation import tables


def metrics(value):
    def probed(content):
        return {
            "content_accuracy": {"1": content, "all": 1.0},
            "content_entropy": {"1": 0.2, "all": 0.0},
            "style_accuracy": 0.3,
            "style_entropy": 2.0,
        }

    return {
        **probed(value),
        "sampled": probed(0.5),
        "chance_accuracy": 0.1,
        "calibration": {"1": 1.25},
        "swap": {"judge_accuracy": 0.99, "content_group": {"1": 0.9}},
        "unseen": {
            "identification": {"content_means": {"1": 0.7, "5": value}},
            "verification_auc": {"content_means": 0.8},
        },
        **dict.fromkeys(tables.BOUNDS, -100 * value),
        "intervals": {
            "content_accuracy": {"1": [0.25, 0.75]},
            "swap": {"content_group": {"1": [0.85, 0.95]}},
            "group_elbo": [-60.0, -40.0],
        },
    }


def by_name(table):
    return {name: cells for name, *cells in table}


def test_mean_and_spread_of_every_figure():
    table = by_name(tables.several([metrics(v) for v in (0.5, 0.7, 0.9)]))
    spread = ["0.700", "0.500", "0.900"]
    assert table["content accuracy, k = 1"] == spread
    assert table["unseen accuracy, content means, 5 shots"] == spread
    assert table["content accuracy, sampled, k = 1"] == ["0.500"] * 3
    assert table["group elbo"] == ["-70.0", "-90.0", "-50.0"]
    del table["what"]
    numbers = [float(cell) for cells in table.values() for cell in cells]
    assert np.isfinite(numbers).all()


def test_figures_of_one_run_with_their_intervals():
    table = by_name(tables.one(metrics(0.5)))
    assert table["content accuracy, k = 1"] == ["0.500", "0.250 to 0.750"]
    assert table["swap accuracy, k = 1"] == ["0.900", "0.850 to 0.950"]
    assert table["group elbo"] == ["-50.0", "-60.0 to -40.0"]
    assert table["chance accuracy"] == ["0.100", ""]


def test_tables_line_up():
    rows = [["what", "n"], ["content", "1.0"], ["style", "10.25"]]
    assert tables.as_text(rows).splitlines() == [
        "what         n",
        "--------------",
        "content    1.0",
        "style    10.25",
    ]


PRINTING = """
import sys
sys.argv = ["mlvae-evaluate"]
from mlvae_tf.runs import command_line
from mlvae_tf.evaluation import tables
table = [["what", "n"], ["\\u5f20 m\\xfcller \\udcfc", "1.0"]]
command_line.run(lambda: print(tables.as_text(table)), "Prints.")
"""


@pytest.mark.parametrize(
    ("encoding", "letters"),
    [
        ("ascii", "\\u5f20 m\\xfcller \\udcfc"),
        ("utf-8", "\u5f20 m\u00fcller \\udcfc"),
    ],
)
def test_a_terminal_may_know_few_letters(encoding, letters):
    process = subprocess.run(
        [sys.executable, "-c", PRINTING],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert process.returncode == 0, process.stderr.decode()
    *_, row = process.stdout.decode(encoding).splitlines()
    assert row.split("  ")[0] == letters
