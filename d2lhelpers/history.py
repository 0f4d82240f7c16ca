"""What training runs were and how they went: the history of a run, its record, tables of runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ._paths import write_atomically

__all__ = ["CURVES", "History", "run_table"]

CURVES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "learning_rate",
    "seconds",
)


@dataclasses.dataclass
class History:
    """What one training run was and how it went.

    The curves have one entry an epoch. Losses are means over samples, accuracies fractions in
    [0, 1], ``learning_rate`` is the rate of the epoch's last step and ``seconds`` the wall time of
    the epoch's training, evaluation not included. Where the data has a validation set, it is
    evaluated after every epoch and the test set once, at the end: ``test_loss`` and
    ``test_accuracy`` then have one entry. Where it has none, the test set is evaluated after every
    epoch and the validation curves stay empty. ``train_samples`` counts the images of one epoch.

    Where training stopped because a loss was not finite, the last entry of every curve is NaN.
    """

    name: str
    source: str
    seed: int
    device: str
    precision: str
    parameters: int
    multiply_adds: int
    log_dir: str
    started: float
    train_samples: int = 0
    train_loss: list[float] = dataclasses.field(default_factory=list)
    train_accuracy: list[float] = dataclasses.field(default_factory=list)
    validation_loss: list[float] = dataclasses.field(default_factory=list)
    validation_accuracy: list[float] = dataclasses.field(default_factory=list)
    test_loss: list[float] = dataclasses.field(default_factory=list)
    test_accuracy: list[float] = dataclasses.field(default_factory=list)
    learning_rate: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return len(self.train_loss)

    @property
    def diverged(self) -> bool:
        """Whether the last entry of a loss curve is NaN or infinite: training stopped there."""
        losses = (self.train_loss, self.validation_loss, self.test_loss)
        return any(curve and not math.isfinite(curve[-1]) for curve in losses)

    def rows(self) -> list[dict]:
        """One dictionary an epoch, with the curves that have a value for every epoch."""
        full = [curve for curve in CURVES if len(getattr(self, curve)) == self.epochs]
        return [
            {"epoch": i + 1} | {curve: getattr(self, curve)[i] for curve in full}
            for i in range(self.epochs)
        ]

    def __repr__(self) -> str:
        last = {curve: getattr(self, curve)[-1] for curve in CURVES if getattr(self, curve)}
        numbers = ", ".join(f"{curve} {value:.4g}" for curve, value in last.items())
        return f"History of {self.name} on {self.source}: {self.epochs} epochs; last: {numbers}"

    def _repr_html_(self) -> str:
        rows = self.rows()
        if not rows:
            return f"<p>{self!r}</p>"
        head = "".join(f"<th>{column.replace('_', ' ')}</th>" for column in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{_short(value)}</td>" for value in row.values()) + "</tr>"
            for row in rows
        )
        caption = f"<caption>{self.name}, {self.source}, seed {self.seed}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def run_table(runs: Mapping[str, Any]) -> str:
    """What each run cost and where it ended, a line for each.

    Training loss and accuracies are those of the last epoch; a run without a test set has a dash,
    and one that diverged says so in place of its numbers. Seconds are those of the median epoch.

    Args:
        runs: a dict from a name to a ``History``.

    Raises:
        ValueError: there is no run, or one holds no epoch.
    """
    check_runs(runs, ("loss", "accuracy"))
    first = max(map(len, runs))
    lines = [
        f"{'':<{first}} parameters  multiply-adds  train loss   train  validation    test  s/epoch"
    ]
    for name, run in runs.items():
        curves = (run.train_loss, run.train_accuracy, run.validation_accuracy, run.test_accuracy)
        loss, train, validation, test = (
            ("diverged", "-", "-", "-") if run.diverged else map(_last, curves)
        )
        whole = [value for value in run.seconds if math.isfinite(value)]
        seconds = f"{statistics.median(whole):.1f}" if whole else "-"  # robust against other work
        lines.append(
            f"{name:<{first}} {run.parameters:>10,} {run.multiply_adds:>14,}"
            f" {loss:>11} {train:>7} {validation:>11} {test:>7} {seconds:>8}"
        )
    return "\n".join(lines)


def _last(curve: Sequence[float]) -> str:
    return f"{curve[-1]:.4f}" if curve else "-"


def check_runs(runs: Mapping[str, Any], metrics: Sequence[str]) -> None:
    unknown = [metric for metric in metrics if metric not in ("loss", "accuracy")]
    if isinstance(metrics, str) or unknown or not metrics:
        raise ValueError(f'metrics must be of ("loss", "accuracy"); got {metrics!r}.')
    if not runs:
        raise ValueError("There is no history in the dict: it is empty; expected at least one.")
    for name, run in runs.items():
        if not hasattr(run, "train_loss"):
            raise TypeError(
                "Expected a History, as train returns, or a dict from a name to a History; "
                f"got a {type(run).__name__}."
            )
        if len(run.train_loss) == 0:
            raise ValueError(f"The history {name or run.name!r} holds no epoch yet: train first.")
        for value in itertools.chain.from_iterable(curves_of(run, "accuracy").values()):
            if value < 0 or value > 1:
                raise ValueError(
                    f"The history {name or run.name!r} holds an accuracy of {value}; accuracies "
                    "are fractions from 0 to 1, not percentages."
                )


def curves_of(run: Any, metric: str) -> dict[str, list[float]]:
    """What there is to draw, by name; a single value is called "..., once at the end"."""
    curves = {}
    for part in ("train", "validation", "test"):
        values = getattr(run, f"{part}_{metric}", [])
        # With a validation set, the test set is used once, even if there is only one epoch.
        is_once = len(values) < len(run.train_loss) or (part == "test" and "validation" in curves)
        if values:
            curves[f"{part}, once at the end" if is_once else part] = values
    return curves


def write_record(history: History) -> None:
    """The run in one file beside its logs, for ``results.csv``."""
    versions = f"python {platform.python_version()}, torch {torch.__version__}"
    record = json.dumps(dataclasses.asdict(history) | {"versions": versions}, indent=1)
    path = Path(history.log_dir) / "run.json"
    write_atomically(path, lambda partial: partial.write_text(record + "\n", encoding="utf-8"))
