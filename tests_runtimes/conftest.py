"""What other runtimes make of the exported models; see `make test-runtimes`."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
TOLERANCE = 1e-4

sys.path.append(str(ROOT / "tests"))  # For server.py.


class Exported:
    """A model as `export.py` left it.

    Attributes:
        folder: The SavedModel.
        requests: By signature, arrays by name.
        answers: What the live model answers.
    """

    def __init__(self, folder):
        self.folder = folder / "1"
        self.requests = self._load(folder / "requests.npz")
        self.answers = self._load(folder / "answers.npz")

    def _load(self, path):
        found = {}
        for place, value in np.load(path).items():
            name, key = place.split("/")
            found.setdefault(name, {})[key] = value
        return found

    def assert_answers(self, name, found):
        """These are the outputs that the live model gave."""
        assert found.keys() == self.answers[name].keys()
        for key, value in self.answers[name].items():
            if value.dtype.kind == "S":
                given = np.asarray(found[key]).astype(bytes).tolist()
                assert given == value.tolist()
            else:
                np.testing.assert_allclose(
                    found[key], value, rtol=TOLERANCE, atol=TOLERANCE
                )


@pytest.fixture(scope="session")
def exported():
    """By name, the models."""
    folder = pathlib.Path(os.environ["EXPORTED"])
    return {path.name: Exported(path) for path in sorted(folder.iterdir())}


@pytest.fixture(params=["grey", "levels"])
def model(request, exported):
    return exported[request.param]
