"""Results of runs: what ``notebooks/results.csv`` keeps of the full ones, and tables of them."""

from __future__ import annotations

import csv
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

RECIPE = ("parameters", "multiply_adds", "train_samples", "epochs", "source")
"""In what runs must agree before their accuracies are averaged over seeds."""

COLUMNS = {
    "chapter": str,
    "model": str,
    "variant": str,
    "parameters": int,
    "multiply_adds": int,
    "train_samples": int,
    "epochs": int,
    "seed": int,
    "test_accuracy": float,
    "seconds": float,
    "device": str,
    "data_source": str,
    "versions": str,
}
"""Those of ``results.csv``, and what they hold.

The name of a run is in the first three, ``seconds`` is its training time, evaluation not included,
and ``test_accuracy`` is NaN where it diverged.
"""


def row_of(run: History) -> dict[str, str | int | float]:
    """What a row of ``results.csv`` says of a run.

    Raises:
        ValueError: it has no test accuracy, or is not named "chapter/model/variant".
    """
    chapter, model, variant = variant_of(run.name)
    values = vars(run) | {
        "chapter": chapter,
        "model": model,
        "variant": variant,
        "test_accuracy": round(final_accuracy(run), 4),
        "seconds": round(run.training_seconds, 1),
        "data_source": run.source,
    }
    return {column: values[column] for column in COLUMNS}


def run_of(row: Mapping[str, str]) -> History:
    """The run that a row of the file, in which everything is text, is of; without its curves."""
    values = {column: kind(row[column]) for column, kind in COLUMNS.items()}
    name = "/".join(values.pop(column) for column in ("chapter", "model", "variant"))
    return History(
        name=name,
        source=values.pop("data_source"),
        test_accuracy=[values.pop("test_accuracy")],
        seconds=[values.pop("seconds")],
        precision="",
        log_dir="",
        started=0.0,
        execution="",
        **values,
    )


def final_accuracy(run: History) -> float:
    """Test accuracy at the end, NaN where the run diverged.

    Raises:
        ValueError: the run has none.
    """
    if run.diverged:
        return math.nan
    if not run.test_accuracy:
        raise ValueError(
            Text(
                zh=f"训练 {run.name!r} 没有测试准确率，因为没有用过测试集；"
                "请用带测试集的数据训练。",
                en=f"the run {run.name!r} has no test accuracy: it never saw a test set; train "
                "with data that has one.",
            )
        )
    return run.test_accuracy[-1]


def results_file() -> Path:
    """Where results of full runs are kept."""
    return project_folder() / "notebooks" / "results.csv"


def read_results() -> list[History]:
    """The runs in ``results.csv``, without their curves; an empty list where there is no file.

    Raises:
        ValueError: it is not as the course writes it.
    """
    if not results_file().exists():
        return []
    with results_file().open(newline="", encoding="utf-8-sig") as file:  # Excel leaves a BOM
        reader = csv.DictReader(file)
        try:
            return [run_of(row) for row in reader]
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


def have_one_recipe(a: History, b: History) -> bool:
    """Whether two runs of a variant may stand side by side as its seeds.

    A run that diverged stopped early: its epochs are not compared.
    """
    stopped = a.diverged or b.diverged
    fields = [field for field in RECIPE if not (stopped and field == "epochs")]
    return all(getattr(a, field) == getattr(b, field) for field in fields)


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


def by_variant(runs: Iterable[History]) -> dict[str, list[History]]:
    """The runs of each name, "chapter/model/variant": those of its seeds."""
    groups: dict[str, list[History]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    return groups


def mean_accuracy(runs: Iterable[History]) -> float:
    """The mean test accuracy over seeds; NaN where one diverged."""
    return statistics.mean(map(final_accuracy, runs))


def deviation(runs: Iterable[History]) -> float | None:
    """The sample's standard deviation of test accuracies; None for one seed or a diverged one."""
    values = [final_accuracy(run) for run in runs]
    return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def median_seconds(runs: Iterable[History]) -> float:
    """Training time of the median seed: a moment's other work does not spoil it."""
    return statistics.median(run.training_seconds for run in runs)


_SHOWN = ("train_loss", "train_accuracy", "validation_accuracy", "test_accuracy")


def table(runs: Mapping[str, History | Sequence[History]]) -> pandas.DataFrame:
    """What runs cost and where they ended, a row for each name, as text to be shown.

    Training loss and accuracies are those of the last epoch; where a name has several runs, one a
    seed, they are mean ± standard deviation. Where one of them diverged, the row says so. Seconds
    are those of the median run's training, evaluation not included. What no run has gets no column.

    Args:
        runs: a dict from a name to a run, as ``train`` or ``read_results`` give it, or to a list of
            them.

    Returns:
        A pandas table, which displays itself.

    Raises:
        TypeError: it is no dict, or something in it is not a run.
        ValueError: there is no run, or one holds no epoch.
    """
    import pandas

    frame = pandas.DataFrame.from_dict(
        {name: _row(group) for name, group in lists_of_runs(runs).items()}, orient="index"
    )
    return frame.loc[:, (frame != "").any()]


def lists_of_runs(
    runs: Mapping[str, History | Sequence[History]],
) -> dict[str, list[History]]:
    """Each name's runs as a list.

    Raises:
        TypeError: it is no dict, or something in it is not a run.
        ValueError: there is no run, or one holds no epoch.
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
    lists = {}
    for name, group in runs.items():
        lists[name] = list(group) if isinstance(group, Iterable) else [group]
    if not lists or not all(lists.values()):
        check_runs({})
    for run in itertools.chain.from_iterable(lists.values()):
        check_runs({"": run})
    return lists


def _row(runs: Sequence[History]) -> dict[str, str]:
    return {
        "parameters": f"{runs[0].parameters:,}",
        "multiply-adds": f"{runs[0].multiply_adds:,}",
        "epochs": f"{max(run.epochs for run in runs)}",
        "seeds": f"{len(runs)}",
        **{
            curve.replace("_", " "): _mean(
                [getattr(run, curve)[-1] for run in runs if getattr(run, curve)]
            )
            for curve in _SHOWN
        },
        "seconds": f"{median_seconds(runs):.0f}",
    }


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
