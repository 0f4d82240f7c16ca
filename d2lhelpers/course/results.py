"""Writing ``notebooks/results.csv``, and the README's table of it."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from .._paths import project_folder, write_atomically
from ..history import History
from ..results import (
    COLUMNS,
    by_variant,
    deviation,
    have_one_recipe,
    mean_accuracy,
    mean_text,
    median_seconds,
    read_results,
    results_file,
    row_of,
    variant_of,
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
    rows = {(row.name, row.seed): row for row in read_results() if chapter_of(row) != instead_of}
    for run in runs:
        if run.test_accuracy:
            rows[run.name, run.seed] = run
            rows = {
                key: row
                for key, row in rows.items()
                if row.name != run.name or have_one_recipe(row, run)
            }

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(row_of, sorted(rows.values(), key=chapter_of)))

    write_atomically(results_file(), write)


def chapter_of(run: History) -> str:
    return run.name.partition("/")[0]


def headlines() -> list[list[History]]:
    """The runs in ``results.csv`` of networks that stand for their chapters, if of three seeds.

    A notebook's metadata names them under ``d2lhelpers.headlines``, "model/variant" each.
    """
    names = {path.stem: headline_names(read_notebook(path)) for path in notebooks()}
    return [
        runs
        for name, runs in by_variant(read_results()).items()
        if len(runs) >= 3 and name.partition("/")[2] in names.get(chapter_of(runs[0]), ())
    ]


def headline_cells(runs: Sequence[History]) -> list[str]:
    """What tables of results show of a network.

    Returns:
        Network, parameters, multiply-adds, epochs, test accuracy, training seconds and data.
    """
    run, mean = runs[0], mean_accuracy(runs)
    _, model, variant = variant_of(run.name)
    return [
        f"{model} ({variant})",
        f"{run.parameters:,}",
        f"{run.multiply_adds / 1e6:.2f} M",
        str(run.epochs),
        mean_text(mean, deviation(runs)) if math.isfinite(mean) else "发散 diverged",
        f"{median_seconds(runs):.0f}",
        run.source,
    ]


def results_table() -> str:
    """The headlines as a Markdown table."""
    lines = [
        "| 章 chapter | 网络 network | 参数 parameters | 乘加 multiply-adds | 轮 epochs "
        "| 测试准确率 test accuracy | 训练秒数 training s | 数据 data |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for runs in headlines():
        *cost, accuracy, seconds, data = headline_cells(runs)
        chapter = chapter_of(runs[0])
        link = f"[{chapter}](notebooks/{chapter}.ipynb)"
        cells = [link, *cost, f"{accuracy} ({len(runs)} seeds)", seconds, data]
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
