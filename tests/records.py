"""A finished run, for tests of what is kept and shown of runs."""

import nbformat

from d2lhelpers.history import History
from d2lhelpers.results import row_of, run_of


def write_chapter(folder, name="01_good", headlines=("Net/plain",)):
    """A notebook without cells, whose metadata names what stands for the chapter."""
    notebook = nbformat.v4.new_notebook(metadata={"d2lhelpers": {"headlines": list(headlines)}})
    (folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")


def record(name="01_good/Net/plain", seed=0, accuracy=0.9, **changes):
    fields = {
        "name": name,
        "source": "MNIST",
        "seed": seed,
        "device": "CPU with 2 threads",
        "precision": "float32",
        "parameters": 10,
        "multiply_adds": 2_000_000,
        "train_samples": 60_000,
        "train_loss": [2.0, 1.0],
        "test_accuracy": [0.5, accuracy],
        "seconds": [1.0, 2.5],
        "versions": "python 3, torch 2",
        "log_dir": "",
        "started": 0.0,
    }
    return History(**fields | changes)


def kept(run):
    """The run as results.csv has it."""
    return run_of({column: str(value) for column, value in row_of(run).items()})
