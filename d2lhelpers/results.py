"""Results of full runs, as ``notebooks/results.csv`` has them, and their spreads over seeds."""

from __future__ import annotations

import csv
import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ._paths import project_folder
from .history import History, mean_text
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


class Spread(NamedTuple):
    """Test accuracy of one variant over its seeds; the sample's deviation, 0 for one seed.

    The mean is NaN where a seed diverged. ``seconds`` is the training time of the median seed: a
    moment's other work does not spoil it.
    """

    chapter: str
    model: str
    variant: str
    rows: list[Result]
    mean: float
    deviation: float
    seconds: float


def spreads(rows: Iterable[Result]) -> list[Spread]:
    """Mean and standard deviation of test accuracy by chapter, model and variant."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for row in rows:
        groups.setdefault(variant_key(row), []).append(row)
    result = []
    for variant, group in groups.items():
        values = [row.test_accuracy for row in group]
        mean = statistics.mean(values)
        deviation = statistics.stdev(values) if len(values) > 1 and math.isfinite(mean) else 0.0
        seconds = statistics.median(row.seconds for row in group)
        result.append(Spread(*variant, group, mean, deviation, seconds))
    return result


def spread_table(networks: Mapping[str, Spread]) -> pandas.DataFrame:
    """What each network costs and how accurate it is over its seeds, a row for each, as text.

    Seconds are those of the whole training, evaluation not included.

    Args:
        networks: a dict from a name to what ``spreads`` returns.

    Returns:
        A pandas table, which displays itself.
    """
    import pandas

    return pandas.DataFrame.from_dict(
        {name: _cells(spread) for name, spread in networks.items()}, orient="index"
    )


def _cells(spread: Spread) -> dict[str, str]:
    row, seeds = spread.rows[0], len(spread.rows)
    deviation = spread.deviation if seeds > 1 else None
    return {
        "parameters": f"{row.parameters:,}",
        "multiply-adds": f"{row.multiply_adds:,}",
        "epochs": f"{row.epochs}",
        "seconds": f"{spread.seconds:.0f}",
        "seeds": f"{seeds}",
        "test accuracy": mean_text(spread.mean, deviation)
        if math.isfinite(spread.mean)
        else "diverged",
    }
