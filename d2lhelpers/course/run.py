"""Executing notebooks: quickly to see that they work, fully to store outputs and results."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .._paths import folder
from ..sources import fetch
from .notebooks import (
    NotebookFailure,
    build_folder,
    parameters_of,
    read_notebook,
    save_outputs,
)
from .results import add_results, update_readme

QUICK = {"EPOCHS": 2, "TRAIN_SIZE": 2000, "TEST_SIZE": 1000}
"""Parameters of a quick run, injected into the cell tagged ``parameters``."""

BATCH = {"D2L_BATCH": "1", "GOMP_SPINCOUNT": "10000"}
"""Environment of kernels that no person watches. The second value lets OpenMP's threads, which wait
for each other busily, give up a core that another process needs; else a step can take 30 times as
long beside a second process on two cores."""


class Outcome(NamedTuple):
    """One notebook's execution: wall time in seconds, where the copy is, its training runs."""

    path: Path
    seconds: float
    executed: Path
    runs: list[dict]


def source_at_hand(report=print) -> str:
    """What quick runs use: "real" where both data sets are at hand or can be had, else "synthetic".

    Downloads what is missing, once, instead of every notebook trying; says so where that failed.
    """
    missing = [found for found in map(fetch, ("MNIST", "CIFAR-10")) if not found.is_real]
    if not missing:
        return "real"
    names = ", ".join(found.name for found in missing)
    report(
        f"没有真实数据（{names}），改用合成的替代数据；它们的准确率不能和真实数据相比。"
        "运行 python -m d2lhelpers data 可以看到原因。\n"
        f"No real data ({names}): synthetic stand-ins are used; accuracies on them say nothing "
        "about the real sets. Run python -m d2lhelpers data to see why."
    )
    return "synthetic"


def run_notebook(path: Path, parameters: dict, executed: Path) -> Outcome:
    """Execute one notebook through papermill.

    Args:
        path: the notebook; left as it is.
        parameters: values injected after its cell tagged ``parameters``.
        executed: where the executed copy goes, also when it fails.

    Raises:
        NotebookFailure: a cell raised an error, or the kernel died.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # ipykernel 7 warns in every run where this is off.
    encrypted = Config({"KernelManager": {"transport_encryption": "auto"}})
    executed.parent.mkdir(parents=True, exist_ok=True)
    start, started = time.perf_counter(), time.time()
    with _environment(BATCH | _folders()):
        try:
            papermill.execute_notebook(
                path,
                executed,
                parameters,
                cwd=path.parent,
                progress_bar=False,
                config=encrypted,
            )
        except PapermillExecutionError as error:
            raise NotebookFailure(_describe_failure(path, executed, error)) from error
        except DeadKernelError as error:
            raise NotebookFailure(
                f"{path.name}: its kernel died, most likely for want of memory; close other "
                f"programs or lower BATCH_SIZE\n  executed copy: {executed}"
            ) from error
    runs = [
        run
        for run in _run_records()
        if run["started"] >= started and run["name"].startswith(f"{path.stem}/")
    ]
    return Outcome(path, time.perf_counter() - start, executed, runs)


def _describe_failure(path: Path, executed: Path, error) -> str:
    """Notebook, cell and error; papermill adds cells of its own, so the cell is found by its id."""
    failed = next(
        cell
        for cell in read_notebook(executed).cells
        if any(output.output_type == "error" for output in cell.get("outputs", []))
    )
    ids = [cell.id for cell in read_notebook(path).cells]
    number = f"{ids.index(failed.id) + 1} of {len(ids)}" if failed.id in ids else "(injected)"
    source = failed.source.strip()
    return (
        f"{path.name}: cell {number}, {failed.id!r}, failed: {error.ename}: {error.evalue}\n"
        f"  the cell begins: {source.splitlines()[0] if source else '(empty)'}\n"
        f"  executed copy: {executed}"
    )


def run_quick(paths: Iterable[Path], extra: dict, report=print) -> None:
    """Execute notebooks in quick mode, reporting a line each as it finishes."""
    for path in paths:
        outcome = run_notebook(path, QUICK | extra, build_folder() / "notebooks" / path.name)
        report(summary(outcome))


def run_seeds(paths: Iterable[Path], seeds: Iterable[int], report=print) -> None:
    """Train each chapter's headline with each seed on full data (``EXPERIMENTS=False``).

    ``results.csv`` and the README's table are kept as runs succeed; a failed run changes neither.
    """
    for path in paths:
        for seed in seeds:
            executed = build_folder() / "notebooks" / f"{path.stem}-seed{seed}.ipynb"
            outcome = run_notebook(path, {"SEED": seed, "EXPERIMENTS": False}, executed)
            _keep_results(outcome, report)


def run_full(paths: Iterable[Path], seeds: Iterable[int] = (), report=print) -> None:
    """Redo stored outputs, ``results.csv`` and the README's table on full data.

    Each notebook's stored outputs come from the run with its own ``SEED``; the other seeds run
    first, as in ``run_seeds``, so that the stored run can show the spread.
    """
    for path in paths:
        own_seed = parameters_of(read_notebook(path))["SEED"]
        run_seeds([path], [seed for seed in seeds if seed != own_seed], report)
        outcome = run_notebook(path, {}, build_folder() / "notebooks" / path.name)
        save_outputs(outcome.executed, path)
        _keep_results(outcome, report)


def _keep_results(outcome: Outcome, report) -> None:
    add_results(outcome.runs)
    update_readme()
    report(summary(outcome))


def summary(outcome: Outcome) -> str:
    """One line: time, the headline's test accuracy, where the copy and the logs are.

    The headline is the notebook's first training run that looked at the test set.
    """
    tested = [run for run in outcome.runs if run["test_accuracy"]]
    headline = f"test accuracy {tested[0]['test_accuracy'][-1]:.4f}" if tested else "no training"
    chapter = outcome.path.stem
    logs = _shown(folder("runs") / chapter)
    copy = _shown(outcome.executed)
    return f"{chapter:<20} {outcome.seconds:6.1f} s  {headline}  copy: {copy}  logs: {logs}"


def _shown(path: Path) -> str:
    """The path as seen from the current directory, where it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _folders() -> dict[str, str]:
    """The reader's own folders, absolute: a kernel works in the notebook's folder."""
    return {
        "D2L_DATA": str(folder("data")),
        "D2L_RUNS": str(folder("runs")),
    }


def _run_records() -> list[dict]:
    """Every finished training run under ``runs/``, oldest first."""
    records = [
        json.loads(path.read_text(encoding="utf-8")) for path in folder("runs").rglob("run.json")
    ]
    return sorted(records, key=lambda record: record["started"])


class _environment:
    """Set variables for kernels started inside; a notebook server's own are hidden from them."""

    def __init__(self, variables: dict[str, str]):
        self.variables = variables

    def __enter__(self):
        self.before = dict(os.environ)
        os.environ.pop("JPY_SESSION_NAME", None)
        os.environ.update(self.variables)

    def __exit__(self, *_):
        os.environ.clear()
        os.environ.update(self.before)
