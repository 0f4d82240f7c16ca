"""Results of full runs: ``notebooks/results.csv``, spreads over seeds, the README's table."""

import csv
import dataclasses
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ._paths import project_folder, write_atomically
from ._readme import with_section
from .display import say

RESULT_COLUMNS = (
    "chapter",
    "model",
    "variant",
    "parameters",
    "multiply_adds",
    "epochs",
    "seed",
    "test_accuracy",
    "seconds",
    "device",
    "data_source",
    "versions",
)
"""Columns of ``notebooks/results.csv``; ``seconds`` is training time, evaluation not included."""


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
        for column in ("parameters", "multiply_adds", "epochs", "seed"):
            row[column] = int(row[column])
        for column in ("test_accuracy", "seconds"):
            row[column] = float(row[column])
    return rows


def add_results(runs: list[dict]) -> None:
    """Add run records to ``results.csv``; a newer run of the same variant and seed replaces it."""
    rows = {_key(row): row for row in read_results()}
    for run in runs:
        if run["test_accuracy"]:
            row = _result_row(run)
            rows[_key(row)] = row

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, RESULT_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted(rows.values(), key=lambda row: row["chapter"]))

    write_atomically(results_file(), write)


def _key(row: dict) -> tuple:
    return row["chapter"], row["model"], row["variant"], row["seed"]


def _result_row(run: dict) -> dict:
    chapter, model, variant = run["name"].split("/")
    return {
        "chapter": chapter,
        "model": model,
        "variant": variant,
        "epochs": len(run["train_loss"]),
        "test_accuracy": round(run["test_accuracy"][-1], 4),
        "seconds": round(sum(run["seconds"]), 1),
        "data_source": run["source"],
    } | {key: run[key] for key in ("parameters", "multiply_adds", "seed", "device", "versions")}


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
        groups.setdefault(_key(row)[:3], []).append(row)
    result = []
    for key, group in groups.items():
        values = [row["test_accuracy"] for row in group]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        seconds = statistics.median(row["seconds"] for row in group)
        result.append(Spread(*key, group, statistics.mean(values), deviation, seconds))
    return result


def over_seeds(history) -> Spread:
    """Test accuracy of a run's variant over the seeds of the full runs in ``results.csv``.

    The run itself stands for its own seed if it is as long as those in the file and saw the same
    data; a quick run does not count.
    """
    chapter, model, variant = history.name.split("/")
    rows = [r for r in read_results() if _key(r)[:3] == (chapter, model, variant)]
    own = _result_row(dataclasses.asdict(history) | {"versions": ""})
    if all((r["epochs"], r["data_source"]) == (own["epochs"], own["data_source"]) for r in rows):
        rows = [r for r in rows if r["seed"] != own["seed"]] + [own]
    return spreads(rows)[0]


def report(history) -> None:
    """Say, in both languages, a run's test accuracy, and mean and spread over the full runs."""
    seeds = over_seeds(history)
    accuracy = history.test_accuracy[-1]
    say(
        zh=f"这次运行在 {history.source} 上的测试准确率是 {accuracy:.4f}。"
        f"完整运行共 {len(seeds.rows)} 个随机种子，均值 {seeds.mean:.4f}，"
        f"标准差 {seeds.deviation:.4f}。",
        en=f"This run's test accuracy on {history.source} is {accuracy:.4f}. "
        f"Seeds with full runs: {len(seeds.rows)}, mean {seeds.mean:.4f}, "
        f"standard deviation {seeds.deviation:.4f}.",
    )


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
        lines.append(
            f"{name:<{first}} {row['parameters']:>10,} {row['multiply_adds']:>14,}"
            f" {row['epochs']:>7} {spread.seconds:>8.0f} {seeds:>6}  {spread.mean:.4f}{deviation}"
        )
    return "\n".join(lines)


def headlines() -> list[Spread]:
    """Spreads of the networks that ``results.csv`` has with at least three seeds."""
    return [spread for spread in spreads(read_results()) if len(spread.rows) >= 3]


def headline_cells(spread: Spread) -> list[str]:
    """What tables of results show of a network.

    Returns:
        Network, parameters, multiply-adds, epochs, test accuracy, training seconds and data.
    """
    row = spread.rows[0]
    return [
        f"{spread.model} ({spread.variant})",
        f"{row['parameters']:,}",
        f"{row['multiply_adds'] / 1e6:.2f} M",
        str(row["epochs"]),
        f"{spread.mean:.4f} ± {spread.deviation:.4f}",
        f"{spread.seconds:.0f}",
        row["data_source"],
    ]


def results_table() -> str:
    """The headlines as a Markdown table."""
    lines = [
        "| 章 chapter | 网络 network | 参数 parameters | 乘加 multiply-adds | 轮 epochs "
        "| 测试准确率 test accuracy | 训练秒数 training s | 数据 data |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for spread in headlines():
        *cost, accuracy, seconds, data = headline_cells(spread)
        link = f"[{spread.chapter}](notebooks/{spread.chapter}.ipynb)"
        cells = [link, *cost, f"{accuracy} ({len(spread.rows)} seeds)", seconds, data]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def readme_with_table(text: str) -> str:
    """README text with the results table between its two markers made anew."""
    return with_section(text, "results", results_table())


def update_readme() -> None:
    """Write the results table into the README."""
    path = project_folder() / "README.md"
    text = readme_with_table(path.read_text(encoding="utf-8"))
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))
