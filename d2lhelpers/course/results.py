"""Writing ``notebooks/results.csv``, and the README's table of it."""

import csv
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from .._paths import project_folder, write_atomically
from ..history import History
from ..results import (
    RESULT_COLUMNS,
    Result,
    by_variant,
    deviation,
    have_one_recipe,
    mean_accuracy,
    mean_text,
    median_seconds,
    read_results,
    results_file,
    variant_key,
)
from ..say import Text
from .notebooks import headline_names, notebooks, read_notebook
from .readme import with_section


def keep_results(runs: Sequence[History], instead_of: str = "") -> None:
    """Add runs to ``results.csv``, and make the README's table of it anew.

    Another process that does so waits, so that neither loses what the other adds.

    Raises:
        OSError: another process has held the lock for a minute.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(results_file().with_name(".results.lock"), timeout=60)
    try:
        lock.acquire()
    except Timeout:
        raise OSError(
            Text(
                zh=f"{lock.lock_file}：另一个进程一分钟还没有写完结果；等它结束再试。",
                en=f"{lock.lock_file}: another process has been writing results for a minute; try "
                "again when it has ended.",
            )
        ) from None
    except (OSError, NotImplementedError):
        pass  # a file system without locks: the results are kept all the same
    try:
        add_results(runs, instead_of)
        update_readme()
    finally:
        lock.release()


def add_results(runs: Sequence[History], instead_of: str = "") -> None:
    """Add runs to ``results.csv``.

    A run replaces an older one of the same variant and seed, and also those with other seeds whose
    network, data or length differ from its own. Runs without a test accuracy are left out.

    Args:
        runs: what was trained.
        instead_of: a chapter whose rows all go first, since the runs are all that it trains now.
    """
    rows = {_key(row): row for row in read_results() if row.chapter != instead_of}
    for run in runs:
        if run.test_accuracy:
            new = Result.of(run)
            rows[_key(new)] = new
            rows = {
                key: row
                for key, row in rows.items()
                if variant_key(row) != variant_key(new) or have_one_recipe(row, new)
            }

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, RESULT_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                map(dataclasses.asdict, sorted(rows.values(), key=lambda row: row.chapter))
            )

    write_atomically(results_file(), write)


def _key(row: Result) -> tuple:
    return *variant_key(row), row.seed


def headlines() -> list[list[Result]]:
    """The results, of three seeds or more each, of the networks that stand for their chapters.

    A notebook's metadata names them under ``d2lhelpers.headlines``, "model/variant" each.
    """
    names = {path.stem: headline_names(read_notebook(path)) for path in notebooks()}
    return [
        rows
        for (chapter, *network), rows in by_variant(read_results()).items()
        if len(rows) >= 3 and "/".join(network) in names.get(chapter, ())
    ]


def headline_cells(rows: Sequence[Result]) -> list[str]:
    """What tables of results show of a network.

    Returns:
        Network, parameters, multiply-adds, epochs, test accuracy, training seconds and data.
    """
    row, mean = rows[0], mean_accuracy(rows)
    return [
        f"{row.model} ({row.variant})",
        f"{row.parameters:,}",
        f"{row.multiply_adds / 1e6:.2f} M",
        str(row.epochs),
        mean_text(mean, deviation(rows)) if math.isfinite(mean) else "发散 diverged",
        f"{median_seconds(rows):.0f}",
        row.data_source,
    ]


def results_table() -> str:
    """The headlines as a Markdown table."""
    lines = [
        "| 章 chapter | 网络 network | 参数 parameters | 乘加 multiply-adds | 轮 epochs "
        "| 测试准确率 test accuracy | 训练秒数 training s | 数据 data |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for rows in headlines():
        *cost, accuracy, seconds, data = headline_cells(rows)
        link = f"[{rows[0].chapter}](notebooks/{rows[0].chapter}.ipynb)"
        cells = [link, *cost, f"{accuracy} ({len(rows)} seeds)", seconds, data]
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
