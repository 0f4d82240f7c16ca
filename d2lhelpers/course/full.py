"""Full runs: they store outputs, ``results.csv`` and the README's table."""

from collections.abc import Iterable
from pathlib import Path

from ..history import History
from ..results import read_results
from ..say import Text, say
from .notebooks import NotebookFailure, build_folder, notebooks, save_outputs
from .parameters import Values
from .results import chapter_of, keep_results
from .run import KernelPool, Outcome, headline, is_of_stand_ins, run_notebook, shown_accuracy

FULL = "full"
"""Folder for executed copies: a quick run beside a full one leaves its copies alone."""


def run_full(paths: Iterable[Path], report=print) -> None:
    """Redo stored outputs, ``results.csv`` and the README's table on full data.

    They are kept as runs succeed; a failed run changes none of them. Of a notebook that is none of
    the course's, a copy for instance, only the outputs are stored.

    Raises:
        NotebookFailure: a notebook failed, or what it trained is no result.
    """
    with KernelPool(1) as pool:
        for path in paths:
            copy = build_folder() / FULL / path.name
            outcome = pool.submit(run_notebook, path, Values({}, {}), copy).result()
            _store(outcome)
            report(_summary(outcome))


def _store(outcome: Outcome) -> None:
    path = outcome.path
    _refuse_stand_ins(outcome)
    if path.resolve() in [chapter.resolve() for chapter in notebooks()]:
        own = [run for run in outcome.runs if chapter_of(run) == path.stem]
        _refuse_to_lose_rows(path, own)
        save_outputs(outcome.executed, path)
        keep_results(own, instead_of=path.stem)
    else:
        save_outputs(outcome.executed, path)
        say(
            zh=f"{path} 不是课程的笔记本：输出存进了它自己，results.csv 没有动。",
            en=f"{path} is none of the course's notebooks: its outputs are stored in it, and "
            "results.csv was left alone.",
        )


def _refuse_stand_ins(outcome: Outcome) -> None:
    if names := sorted({run.name for run in outcome.runs if is_of_stand_ins(run)}):
        raise NotebookFailure(
            Text(
                zh=f"{outcome.path.name}：有些训练用的是合成的替代数据（{', '.join(names)}），"
                '不是结果，所以什么也没有保存。把 SOURCE 改回 "auto" 或 "real"，再运行一次。'
                f"执行后的副本在 {outcome.executed}。",
                en=f"{outcome.path.name}: some of it was trained on synthetic stand-ins "
                f"({', '.join(names)}). Those are no results, so nothing was stored: set SOURCE "
                'back to "auto" or "real" and run it again. The executed copy is in '
                f"{outcome.executed}.",
            )
        )


def _refuse_to_lose_rows(path: Path, runs: Iterable[History]) -> None:
    has_rows = any(chapter_of(run) == path.stem for run in read_results())
    if has_rows and not any(run.test_accuracy for run in runs):
        raise NotebookFailure(
            Text(
                zh=f"{path.name}：这次没有训练出任何结果，而 results.csv 里有这一章的行，所以什么"
                "也没有保存。看看训练的单元格还在不在；如果确实不再训练，先删去那些行。",
                en=f"{path.name}: this run trained nothing that has a result, but results.csv has "
                "rows of the chapter, so nothing was stored. See that its training cells are "
                "there; if none are meant to be, delete those rows first.",
            )
        )


def _summary(outcome: Outcome) -> str:
    """One line on a full run: time, the headline's test accuracy, where the copy is."""
    run = headline(outcome)
    accuracy = f"test accuracy {shown_accuracy(run.test_accuracy[-1])}" if run else "no training"
    return f"{outcome.path.stem:<20} {outcome.seconds:6.1f} s  {accuracy}  copy: {outcome.executed}"
