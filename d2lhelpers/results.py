"""Results of full runs, as ``notebooks/results.csv`` has them, and their spreads over seeds."""

import csv
import dataclasses
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ._paths import project_folder
from .say import say

RESULT_COLUMNS = (
    "chapter",
    "model",
    "variant",
    "parameters",
    "multiply_adds",
    "train_samples",
    "epochs",
    "seed",
    "test_accuracy",
    "seconds",
    "device",
    "data_source",
    "versions",
)
"""Columns of ``notebooks/results.csv``; ``seconds`` is training time, evaluation not included."""

RECIPE = ("parameters", "multiply_adds", "train_samples", "epochs", "data_source")
"""Columns in which runs must agree before their accuracies are averaged over seeds."""


def results_file() -> Path:
    """Where results of full runs are kept."""
    return project_folder() / "notebooks" / "results.csv"


def read_results() -> list[dict]:
    """Rows of ``results.csv`` with numbers as numbers; an empty list where there is no file."""
    if not results_file().exists():
        return []
    with results_file().open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for column in ("parameters", "multiply_adds", "train_samples", "epochs", "seed"):
            row[column] = int(row[column])
        for column in ("test_accuracy", "seconds"):
            row[column] = float(row[column])
    return rows


def variant_key(row: dict) -> tuple[str, str, str]:
    return row["chapter"], row["model"], row["variant"]


def recipe_key(row: dict) -> tuple:
    return tuple(row[column] for column in RECIPE)


def variant_of(name: str) -> tuple[str, str, str]:
    parts = name.split("/")
    if len(parts) != 3:
        raise ValueError(
            f'the run\'s name is {name!r}; results need "chapter/model/variant": give train '
            "such a name"
        )
    return tuple(parts)


def result_row(run: dict) -> dict:
    chapter, model, variant = variant_of(run["name"])
    if not run["test_accuracy"]:
        raise ValueError(f"the run {run['name']!r} has no test accuracy: it never saw a test set")
    return {
        "chapter": chapter,
        "model": model,
        "variant": variant,
        "epochs": len(run["train_loss"]),
        "test_accuracy": round(run["test_accuracy"][-1], 4),
        "seconds": round(sum(run["seconds"]), 1),
        "data_source": run["source"],
    } | {
        key: run[key]
        for key in ("parameters", "multiply_adds", "train_samples", "seed", "device", "versions")
    }


class Spread(NamedTuple):
    """Test accuracy of one variant over its seeds; the sample's deviation, 0 for one seed.

    ``seconds`` is the training time of the median seed: a moment's other work does not spoil it.
    """

    chapter: str
    model: str
    variant: str
    rows: list[dict]
    mean: float
    deviation: float
    seconds: float


def spreads(rows: list[dict]) -> list[Spread]:
    """Mean and standard deviation of test accuracy by chapter, model and variant."""
    groups: dict = {}
    for row in rows:
        groups.setdefault(variant_key(row), []).append(row)
    result = []
    for variant, group in groups.items():
        values = [row["test_accuracy"] for row in group]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        seconds = statistics.median(row["seconds"] for row in group)
        result.append(Spread(*variant, group, statistics.mean(values), deviation, seconds))
    return result


def over_seeds(history) -> Spread:
    """Test accuracy of a run's variant over the seeds of the full runs in ``results.csv``.

    The run itself stands for its own seed if it has the network, the data and the length of those
    in the file, or if the file has none of its variant; a shorter run does not count, nor does one
    that diverged. Where there is no other, the mean of a run that diverged is NaN.

    Raises:
        ValueError: the run has no test accuracy, or is not named "chapter/model/variant".
    """
    return _joined(history, _full_runs(history))


def _full_runs(history) -> list[dict]:
    """Rows of ``results.csv`` of the run's variant."""
    variant = variant_of(history.name)
    return [row for row in read_results() if variant_key(row) == variant]


def _joined(history, rows: list[dict]) -> Spread:
    """The spread over ``rows`` of the run's variant, the run itself among them if it fits."""
    own = result_row(dataclasses.asdict(history) | {"versions": ""})
    fits = all(recipe_key(row) == recipe_key(own) for row in rows)
    if not rows or (fits and not history.diverged):
        rows = [row for row in rows if row["seed"] != own["seed"]] + [own]
    return spreads(rows)[0]


def report(history) -> None:
    """Say, in both languages, a run's test accuracy, and mean and spread over the full runs.

    Where ``results.csv`` has no full run of its variant, the second half is left out. A run that
    diverged has no accuracy, which is said in its place.

    Raises:
        ValueError: as for ``over_seeds``.
    """
    rows = _full_runs(history)
    seeds = _joined(history, rows)
    zh = f"这次运行在 {history.source} 上的测试准确率是 {history.test_accuracy[-1]:.4f}。"
    en = f"This run's test accuracy on {history.source} is {history.test_accuracy[-1]:.4f}."
    if history.diverged:
        zh = (
            f"这次运行在 {history.source} 上发散了：第 {history.epochs} 轮里，损失不再是有限的数，"
            "所以没有测试准确率。试试更小的学习率。"
        )
        en = (
            f"This run on {history.source} diverged: in epoch {history.epochs} its loss was no "
            "longer finite, so it has no test accuracy. Try a smaller learning rate."
        )
    if rows:
        zh += (
            f"完整运行共 {len(seeds.rows)} 个随机种子，均值 {seeds.mean:.4f}，"
            f"标准差 {seeds.deviation:.4f}。"
        )
        en += (
            f" Seeds with full runs: {len(seeds.rows)}, mean {seeds.mean:.4f}, "
            f"standard deviation {seeds.deviation:.4f}."
        )
    say(zh=zh, en=en)


def spread_table(networks: Mapping[str, Spread]) -> str:
    """What each network costs and how accurate it is over its seeds, a line for each.

    Seconds are those of the whole training, evaluation not included.

    Args:
        networks: a dict from a name to what ``spreads`` or ``over_seeds`` returns.
    """
    first = max(map(len, networks), default=0)
    lines = [f"{'':<{first}} parameters  multiply-adds  epochs  seconds  seeds  test accuracy"]
    for name, spread in networks.items():
        row, seeds = spread.rows[0], len(spread.rows)
        deviation = f" ± {spread.deviation:.4f}" if seeds > 1 else ""
        reached = "diverged" if math.isnan(spread.mean) else f"{spread.mean:.4f}{deviation}"
        lines.append(
            f"{name:<{first}} {row['parameters']:>10,} {row['multiply_adds']:>14,}"
            f" {row['epochs']:>7} {spread.seconds:>8.0f} {seeds:>6}  {reached}"
        )
    return "\n".join(lines)
