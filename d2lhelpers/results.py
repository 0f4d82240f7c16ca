"""Results of runs: what ``notebooks/results.csv`` keeps of the full ones, and tables of them."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._paths import project_folder
from .history import History, check_runs
from .say import Text

if TYPE_CHECKING:
    import pandas

RECIPE = ("parameters", "multiply_adds", "train_samples", "epochs", "data_source")
"""Columns in which runs must agree before their accuracies are averaged over seeds."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What a row of ``results.csv`` says of a run.

    ``seconds`` is training time, evaluation not included; ``test_accuracy`` is NaN where the run
    diverged.
    """

    chapter: str
    model: str
    variant: str
    parameters: int
    multiply_adds: int
    train_samples: int
    epochs: int
    seed: int
    test_accuracy: float
    seconds: float
    device: str
    data_source: str
    versions: str

    @classmethod
    def of(cls, run: History) -> Result:
        """The result of a run.

        Raises:
            ValueError: the run has no test accuracy, or is not named "chapter/model/variant".
        """
        chapter, model, variant = variant_of(run.name)
        if not run.test_accuracy:
            raise ValueError(
                Text(
                    zh=f"训练 {run.name!r} 没有测试准确率，因为没有用过测试集；"
                    "请用带测试集的数据训练。",
                    en=f"the run {run.name!r} has no test accuracy: it never saw a test set; train "
                    "with data that has one.",
                )
            )
        return cls(
            chapter=chapter,
            model=model,
            variant=variant,
            parameters=run.parameters,
            multiply_adds=run.multiply_adds,
            train_samples=run.train_samples,
            epochs=run.epochs,
            seed=run.seed,
            test_accuracy=math.nan if run.diverged else round(run.test_accuracy[-1], 4),
            seconds=round(run.training_seconds, 1),
            device=run.device,
            data_source=run.source,
            versions=run.versions,
        )

    @classmethod
    def of_row(cls, row: Mapping[str, str]) -> Result:
        """The result in a row of the file, in which everything is text."""
        kinds = {"str": str, "int": int, "float": float}
        fields = dataclasses.fields(cls)
        return cls(**{field.name: kinds[field.type](row[field.name]) for field in fields})


RESULT_COLUMNS = tuple(field.name for field in dataclasses.fields(Result))


def results_file() -> Path:
    """Where results of full runs are kept."""
    return project_folder() / "notebooks" / "results.csv"


def read_results() -> list[Result]:
    """The rows of ``results.csv``; an empty list where there is no file.

    Raises:
        ValueError: it is not as the course writes it.
    """
    if not results_file().exists():
        return []
    with results_file().open(newline="", encoding="utf-8-sig") as file:  # Excel leaves a BOM
        reader = csv.DictReader(file)
        try:
            return [Result.of_row(row) for row in reader]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(_damaged(reader.line_num)) from error


def _damaged(line: int) -> Text:
    return Text(
        zh=f"{results_file()} 第 {line} 行不是课程写的样子：是不是被表格软件改存过（分号），"
        "或者留着合并冲突的标记？用 git checkout 取回这个文件，或者改好这一行。",
        en=f"line {line} of {results_file()} is not as the course writes it: was it saved by a "
        "spreadsheet (semicolons), or are marks of a merge left in it? Get the file back with "
        "git checkout, or mend the line.",
    )


def variant_key(result: Result) -> tuple[str, str, str]:
    return result.chapter, result.model, result.variant


def have_one_recipe(a: Result, b: Result) -> bool:
    """Whether two results of a variant may stand side by side as its seeds.

    A run that diverged stopped early: its epochs are not compared.
    """
    stopped = math.isnan(a.test_accuracy) or math.isnan(b.test_accuracy)
    columns = [column for column in RECIPE if not (stopped and column == "epochs")]
    return all(getattr(a, column) == getattr(b, column) for column in columns)


def variant_of(name: str) -> tuple[str, str, str]:
    """The parts of a run's name.

    Raises:
        ValueError: it is not "chapter/model/variant".
    """
    parts = name.split("/")
    if len(parts) != 3:
        raise ValueError(
            Text(
                zh=f'训练的名字是 {name!r}；结果需要 "chapter/model/variant" 这样的名字，'
                "请用 name= 给出。",
                en=f'the run\'s name is {name!r}; results need "chapter/model/variant": give such '
                "a name= to the training.",
            )
        )
    chapter, model, variant = parts
    return chapter, model, variant


def by_variant(rows: Iterable[Result]) -> dict[tuple[str, str, str], list[Result]]:
    """The results of each chapter, model and variant: those of its seeds."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for row in rows:
        groups.setdefault(variant_key(row), []).append(row)
    return groups


def mean_accuracy(rows: Sequence[Result]) -> float:
    """The mean test accuracy over seeds; NaN where one diverged."""
    return statistics.mean(row.test_accuracy for row in rows)


def deviation(rows: Sequence[Result]) -> float | None:
    """The sample's standard deviation of test accuracies; None for one seed or a diverged one."""
    values = [row.test_accuracy for row in rows]
    return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def median_seconds(runs: Iterable[History | Result]) -> float:
    """Training time of the median seed: a moment's other work does not spoil it."""
    return statistics.median(
        run.seconds if isinstance(run, Result) else run.training_seconds for run in runs
    )


_SHOWN = ("train_loss", "train_accuracy", "validation_accuracy", "test_accuracy")


def table(
    runs: Mapping[str, History | Result | Sequence[History | Result]],
) -> pandas.DataFrame:
    """What runs cost and where they ended, a row for each name, as text to be shown.

    Training loss and accuracies are those of the last epoch; where a name has several runs, one a
    seed, they are mean ± standard deviation. Where one of them diverged, the row says so. Seconds
    are those of the median run's training, evaluation not included. What no run has gets no column.

    Args:
        runs: a dict from a name to what ``train`` returns, or to what ``read_results`` does of a
            run, or to a list of them.

    Returns:
        A pandas table, which displays itself.

    Raises:
        TypeError: something in ``runs`` is not a run.
        ValueError: there is no run, or one holds no epoch.
    """
    import pandas

    check_runs_by_name(runs)
    groups = {
        name: [run] if isinstance(run, History | Result) else list(run)
        for name, run in runs.items()
    }
    if not groups or not all(groups.values()):
        check_runs({})
    for run in itertools.chain.from_iterable(groups.values()):
        if not isinstance(run, Result):
            check_runs({"": run})
    frame = pandas.DataFrame.from_dict(
        {name: _row(group) for name, group in groups.items()}, orient="index"
    )
    return frame.loc[:, (frame != "").any()]


def check_runs_by_name(runs) -> None:
    """Raises:
    TypeError: it is no dict.
    """
    if not isinstance(runs, Mapping):
        raise TypeError(
            Text(
                zh=f'需要从名字到训练的字典，例如 {{"LeNet": history}}；'
                f"得到 {type(runs).__name__}。",
                en='expected a dict from names to runs, such as {"LeNet": history}; got a '
                f"{type(runs).__name__}.",
            )
        )


def _row(runs: Sequence[History | Result]) -> dict[str, str]:
    ends = [_ends(run) for run in runs]
    return {
        "parameters": f"{runs[0].parameters:,}",
        "multiply-adds": f"{runs[0].multiply_adds:,}",
        "epochs": f"{max(run.epochs for run in runs)}",
        "seeds": f"{len(runs)}",
        **{
            curve.replace("_", " "): _mean([end[curve] for end in ends if curve in end])
            for curve in _SHOWN
        },
        "seconds": f"{median_seconds(runs):.0f}",
    }


def _ends(run: History | Result) -> dict[str, float]:
    """What a run's curves ended with, as far as it has them."""
    if isinstance(run, Result):
        return {"test_accuracy": run.test_accuracy}
    return {curve: getattr(run, curve)[-1] for curve in _SHOWN if getattr(run, curve)}


def _mean(values: Sequence[float]) -> str:
    diverged = sum(not math.isfinite(value) for value in values)
    if diverged:
        return "diverged" if len(values) == 1 else f"{diverged} of {len(values)} diverged"
    if len(values) < 2:
        return "".join(map(mean_text, values))
    return mean_text(statistics.mean(values), statistics.stdev(values))


def mean_text(mean: float, deviation: float | None = None) -> str:
    """As tables show a mean over seeds.

    >>> mean_text(0.5, 0.25), mean_text(0.5)
    ('0.5000 ± 0.2500', '0.5000')
    """
    return f"{mean:.4f}" if deviation is None else f"{mean:.4f} ± {deviation:.4f}"
