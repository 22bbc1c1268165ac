"""The notebook of the site: executed anew, `python tests/notebook.py`."""

import pathlib

import nbformat
from nbclient import NotebookClient

PATH = pathlib.Path(__file__).parent.parent / "docs" / "quickstart.ipynb"


def executed():
    """It, with what its cells print and draw today, without warnings."""
    notebook = nbformat.read(PATH, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if output.get("name") != "stderr"
            ]
    notebook.metadata = {"language_info": {"name": "python"}}
    return notebook


def streams(notebook):
    """What all cells print."""
    return [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]


if __name__ == "__main__":
    nbformat.write(executed(), PATH)
