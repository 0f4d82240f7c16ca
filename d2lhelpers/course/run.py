"""Running notebooks, quickly to see that they work; ``full`` stores outputs and results."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._paths import folder
from ..history import History
from ..results import by_variant, mean_accuracy, read_results
from ..say import Text, say
from ..sources import fetch
from .kernels import execute, stop_kernels
from .notebooks import (
    NotebookFailure,
    build_folder,
    headline_names,
    notebooks,
    parameters_of,
    read_notebook,
)
from .parameters import Values, quick_parameters

if TYPE_CHECKING:
    import nbformat

AT_ONCE = 2
"""Notebooks that quick runs execute at a time. Small batches leave a second thread little to do:
on two cores two notebooks with one thread each take little more than half the time."""

QUICK = "notebooks"
"""Folder for executed copies; those of full runs have one of their own."""

QUICK_SECONDS, FULL_SECONDS = 1800, 8 * 3600
"""How long one cell may take; far beyond what it needs on a slow machine."""


class Outcome(NamedTuple):
    """One notebook's execution: wall time in seconds, where the copy is, its training runs."""

    path: Path
    seconds: float
    executed: Path
    runs: list[History]


def source_at_hand() -> str:
    """What quick runs use: "real" where both data sets are at hand or can be had, else "synthetic".

    Downloads what is missing, once, instead of every notebook trying; says so where that failed.
    """
    missing = [found for found in map(fetch, ("MNIST", "CIFAR-10")) if not found.is_real]
    if not missing:
        return "real"
    names = ", ".join(found.name for found in missing)
    say(
        zh=f"没有真实数据（{names}），改用合成的替代数据；它们的准确率不能和真实数据相比。"
        "运行 python -m d2lhelpers data 可以看到原因。",
        en=f"No real data ({names}): synthetic stand-ins are used; accuracies on them say nothing "
        "about the real sets. Run python -m d2lhelpers data to see why.",
    )
    return "synthetic"


def own_parameters(path: Path, notebook: nbformat.NotebookNode) -> dict:
    """Names and values in the cell tagged ``parameters`` of the notebook that ``path`` holds.

    Raises:
        ValueError: that cell cannot be executed.
    """
    try:
        return parameters_of(notebook)
    except (Exception, SystemExit) as error:  # whatever was written there
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            Text(
                zh=f"{path} 里带 parameters 标签的单元格不能执行（{reason}）；请改好它。",
                en=f"the cell tagged parameters in {path} cannot be executed ({reason}); mend it.",
            )
        ) from error


def run_notebook(
    path: Path,
    values: Values,
    executed: Path,
    variables: Mapping[str, str] | None = None,
    seconds: int = FULL_SECONDS,
) -> Outcome:
    """Execute one notebook and gather the training runs that it made.

    Its runs are told from those of other processes by a token in its kernel's environment, which
    each run records.

    Args:
        path: the notebook; left as it is.
        values: injected after its cell tagged ``parameters``, and before others.
        executed: where the executed copy goes, also when it fails.
        variables: more of its kernel's environment.
        seconds: how long one cell may take.

    Raises:
        NotebookFailure: a cell raised an error, left the notebook or took too long, or the kernel
            died.
    """
    token = secrets.token_hex(8)
    start = time.perf_counter()
    execute(path, values, executed, {"D2L_EXECUTION": token} | dict(variables or {}), seconds)
    return Outcome(path, time.perf_counter() - start, executed, _runs_of(token))


def _runs_of(token: str) -> list[History]:
    """The training runs of one execution, under whatever names, oldest first."""
    runs = []
    for path in folder("runs").rglob("run.json"):
        with contextlib.suppress(OSError, ValueError):  # another program's, or cut short
            run = History.read(path)
            if run.execution == token:
                runs.append(run)
    return sorted(runs, key=lambda run: run.started)


def check_copies(paths: Iterable[Path], copies: Path) -> None:
    """Refuse notebooks whose executed copies would take each other's place, or a notebook's.

    Args:
        paths: the notebooks.
        copies: folder for the executed copies, which have the names of the notebooks.

    Raises:
        ValueError: two have one file name, or a copy would be written over a notebook.
    """
    of_name: dict[str, Path] = {}
    originals = {path.resolve() for path in [*paths, *notebooks()]}
    for path in paths:
        other = of_name.setdefault(path.name.casefold(), path)  # to macOS and Windows one name
        if other is not path:
            raise ValueError(
                Text(
                    zh=f"{other} 和 {path} 的文件名相同，执行后的副本会互相覆盖：请分两次运行，"
                    "或者改一个名字。",
                    en=f"{other} and {path} have one file name, so their executed copies would "
                    "overwrite each other: run them one after the other, or rename one.",
                )
            )
        if (copies / path.name).resolve() in originals:
            raise ValueError(
                Text(
                    zh=f"{path} 执行后的副本会写进 {copies}，盖掉那里的笔记本：请把 D2L_BUILD 设成"
                    "别的目录，或者把笔记本复制到别处再运行。",
                    en=f"the executed copy of {path} goes to {copies} and would overwrite the "
                    "notebook there: set D2L_BUILD to another folder, or run a copy of the "
                    "notebook elsewhere.",
                )
            )


def quick_jobs(
    paths: Iterable[Path], source: str, parameters: Mapping | None = None
) -> dict[Path, Values]:
    """What each notebook's quick run sets.

    Args:
        paths: the notebooks.
        source: of the data, as ``source_at_hand`` gives it.
        parameters: more values, over each notebook's own quick ones.

    Raises:
        ValueError: a parameter that a notebook does not have, or a value of another type; it says
            which notebook's.
    """
    jobs = {}
    for path in paths:
        notebook = read_notebook(path)
        own_parameters(path, notebook)
        try:
            jobs[path] = quick_parameters(notebook, source, parameters)
        except ValueError as error:
            zh, en = error.args[0]
            raise ValueError(Text(zh=f"{path}：{zh}", en=f"{path}: {en}")) from None
    return jobs


def run_quick(jobs: Mapping[Path, Values], report=print) -> list[NotebookFailure]:
    """Execute notebooks in quick mode, reporting a line for each in their order.

    Args:
        jobs: what is set in each notebook, as ``quick_jobs`` gives it.
        report: called with each line.

    Returns:
        What failed; a failure does not keep the other notebooks from being executed.
    """
    failures = []
    for path, result in zip(jobs, quick_runs(jobs, build_folder() / QUICK), strict=True):
        if isinstance(result, NotebookFailure):
            failures.append(result)
            report(f"{path.stem:<20} 失败 failed")
        else:
            report(_quick_summary(result))
    return failures


def quick_runs(
    jobs: Mapping[Path, Values],
    copies: Path,
    variables: Mapping[str, str] | None = None,
    *,
    at_once: int = AT_ONCE,
) -> Iterator[Outcome | NotebookFailure]:
    """Execute notebooks, several at a time; yields what came of each, in their order.

    Args:
        jobs: what is set in each notebook.
        copies: folder for the executed copies.
        variables: more of the kernels' environment.
        at_once: how many kernels run side by side; with more threads than cores they only wait for
            each other.
    """
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // AT_ONCE)))
    variables = {"OMP_NUM_THREADS": threads} | dict(variables or {})
    with KernelPool(at_once) as pool:
        futures = [
            pool.submit(run_notebook, path, quick, copies / path.name, variables, QUICK_SECONDS)
            for path, quick in jobs.items()
        ]
        for future in futures:
            try:
                yield future.result()
            except NotebookFailure as failure:
                yield failure


class KernelPool:
    """Threads that each wait for a kernel; when the block is left early, the kernels end."""

    def __init__(self, at_once: int):
        self.at_once = at_once

    def __enter__(self) -> KernelPool:
        self.threads = ThreadPoolExecutor(self.at_once)
        self.futures: list[Future] = []
        return self

    def submit(self, *call) -> Future:
        self.futures.append(self.threads.submit(*call))
        return self.futures[-1]

    def __exit__(self, *_) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in self.futures):
            stop_kernels()  # again and again: one may only just have been started
            time.sleep(0.1)


def is_of_stand_ins(run: History) -> bool:
    return "synthetic" in run.source


def _quick_summary(outcome: Outcome) -> str:
    """One line: time, the headline's quick test accuracy, and that of its stored full runs."""
    run = headline(outcome)
    line = f"{outcome.path.stem:<20} {outcome.seconds:6.1f} s  "
    if run is None:
        return f"{line}no training"
    full = by_variant(read_results()).get(run.name)
    quick = shown_accuracy(run.test_accuracy[-1])
    result = shown_accuracy(mean_accuracy(full)) if full else "-"
    epochs, images = run.epochs, run.train_samples
    stand_in = "stand-in " if is_of_stand_ins(run) else ""
    return (
        f"{line}quick {quick} ({epochs} epoch{'s' * (epochs != 1)}, "
        f"{images:,} {stand_in}images) | full run {result}"
    )


def shown_accuracy(accuracy: float) -> str:
    return f"{accuracy:.4f}" if math.isfinite(accuracy) else "diverged"


def headline(outcome: Outcome) -> History | None:
    """The first run of the network that stands for the chapter, else the first one tested."""
    names = headline_names(read_notebook(outcome.path))
    tested = [run for run in outcome.runs if run.test_accuracy]
    first = [run for run in tested if run.name.partition("/")[2] in names]
    return next(iter(first + tested), None)
