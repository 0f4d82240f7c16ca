"""What a training run was and how it went: its history, and the record of it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import platform
from collections.abc import Mapping
from html import escape
from pathlib import Path

import torch

from ._paths import write_atomically
from .say import Text

__all__ = ["CURVES", "History"]

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


def current_execution() -> str:
    """The token of a notebook's execution by the course's commands; "" elsewhere."""
    return os.environ.get("D2L_EXECUTION", "")


def _versions() -> str:
    return f"python {platform.python_version()}, torch {torch.__version__}"


@dataclasses.dataclass
class History:
    """What one training run was and how it went.

    The curves have one entry an epoch. Losses are means over samples, accuracies fractions in
    [0, 1], ``learning_rate`` is the rate of the epoch's last step and ``seconds`` the wall time of
    the epoch's training, evaluation not included. Where the data has a validation set, it is
    evaluated after every epoch and the test set once, at the end: ``test_loss`` and
    ``test_accuracy`` then have one entry. Where it has none, the test set is evaluated after every
    epoch and the validation curves stay empty. ``train_samples`` counts the images of one epoch,
    ``epochs`` those trained so far.
    A run that diverged ends with the epoch in which it did, every curve there NaN.

    ``write`` and ``read`` keep it as ``run.json`` beside the run's logs. A run in ``results.csv``
    has no curves: ``test_accuracy`` and ``seconds`` have one entry, that at the end and that of
    the whole training.
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
    versions: str = dataclasses.field(default_factory=_versions)
    train_samples: int = 0
    epochs: int = 0
    train_loss: list[float] = dataclasses.field(default_factory=list)
    train_accuracy: list[float] = dataclasses.field(default_factory=list)
    validation_loss: list[float] = dataclasses.field(default_factory=list)
    validation_accuracy: list[float] = dataclasses.field(default_factory=list)
    test_loss: list[float] = dataclasses.field(default_factory=list)
    test_accuracy: list[float] = dataclasses.field(default_factory=list)
    learning_rate: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    execution: str = dataclasses.field(default_factory=current_execution)

    def __post_init__(self) -> None:
        self.epochs = self.epochs or len(self.train_loss)

    @property
    def training_seconds(self) -> float:
        """Wall time of the whole training; an epoch in which it diverged has none."""
        return sum(value for value in self.seconds if math.isfinite(value))

    @property
    def diverged(self) -> bool:
        """Whether the loss stopped being finite: it, or the test accuracy, ends in what is not."""
        ends = (self.train_loss, self.validation_loss, self.test_loss, self.test_accuracy)
        return any(curve and not math.isfinite(curve[-1]) for curve in ends)

    def write(self) -> None:
        """Keep the run as ``run.json`` in its ``log_dir``."""
        record = json.dumps(dataclasses.asdict(self), indent=1) + "\n"
        path = Path(self.log_dir) / "run.json"
        write_atomically(path, lambda partial: partial.write_text(record, encoding="utf-8"))

    @classmethod
    def read(cls, path: str | Path) -> History:
        """The run that ``write`` kept in this file; what a later version adds is left out.

        Raises:
            ValueError: the file is empty, or of something else than a run.
        """
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8-sig"))
            names = {field.name for field in dataclasses.fields(cls)}
            history = cls(**{name: record[name] for name in record.keys() & names})
            wrong = history.wrong_fields()
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(_no_record(path, str(error))) from error
        if wrong:
            raise ValueError(_no_record(path, ", ".join(wrong)))
        return history

    def wrong_fields(self) -> list[str]:
        """Names of those whose values, read from a file, are of another type than theirs."""
        fields = dataclasses.fields(self)
        return [field.name for field in fields if not _is(getattr(self, field.name), field.type)]

    def rows(self) -> list[dict]:
        """One dictionary an epoch, with the curves that have a value for every epoch."""
        full = [curve for curve in CURVES if len(getattr(self, curve)) == self.epochs]
        return [
            {"epoch": i + 1} | {curve: getattr(self, curve)[i] for curve in full}
            for i in range(self.epochs if full else 0)
        ]

    def __repr__(self) -> str:
        last = {curve: getattr(self, curve)[-1] for curve in CURVES if getattr(self, curve)}
        numbers = ", ".join(f"{curve} {value:.4g}" for curve, value in last.items())
        return f"History of {self.name} on {self.source}: {self.epochs} epochs; last: {numbers}"

    def _repr_html_(self) -> str:
        rows = self.rows()
        if not rows:
            return f"<p>{escape(repr(self))}</p>"
        head = "".join(f"<th>{column.replace('_', ' ')}</th>" for column in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{_short(value)}</td>" for value in row.values()) + "</tr>"
            for row in rows
        )
        caption = f"<caption>{escape(self.name)}, {escape(self.source)}, seed {self.seed}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _is(value: object, kind: str) -> bool:
    """Whether a value from a record is of a field's type."""
    if kind == "list[float]":
        return isinstance(value, list) and all(isinstance(entry, int | float) for entry in value)
    return isinstance(value, {"str": str, "int": int, "float": int | float}[kind])


def _no_record(path: str | Path, reason: str) -> Text:
    return Text(
        zh=f"{path} 不是一次训练的记录（{reason}）；删掉它，或给出 train 写的 run.json。",
        en=f"{path} is not the record of a training run ({reason}); delete it, or give a run.json "
        "that train wrote.",
    )


def _short(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}" if math.isfinite(value) else "diverged"


def check_runs(runs: Mapping[str, History]) -> None:
    if not runs:
        raise ValueError(
            Text(
                zh="没有可以展示的训练：字典是空的，至少需要一个 History。",
                en="There is no history to show: the dict is empty; expected at least one.",
            )
        )
    for name, run in runs.items():
        if not isinstance(run, History):
            raise TypeError(
                Text(
                    zh="需要 train 返回的 History，或从名字到 History 的字典，"
                    f"得到 {type(run).__name__}。",
                    en="Expected a History, as train returns, or a dict from a name to a History; "
                    f"got a {type(run).__name__}.",
                )
            )
        if run.epochs == 0:
            raise ValueError(
                Text(
                    zh=f"{name or run.name!r} 还没有训练过一轮：先训练。",
                    en=f"The history {name or run.name!r} holds no epoch yet: train first.",
                )
            )
        for value in itertools.chain.from_iterable(curves_of(run, "accuracy").values()):
            if value < 0 or value > 1:
                raise ValueError(
                    Text(
                        zh=f"{name or run.name!r} 里有准确率 {value}；"
                        "准确率是 0 到 1 的小数，不是百分数。",
                        en=f"The history {name or run.name!r} holds an accuracy of {value}; "
                        "accuracies are fractions from 0 to 1, not percentages.",
                    )
                )


def curves_of(run: History, metric: str) -> dict[str, list[float]]:
    """What there is to draw, by name; a single value is called "..., once at the end"."""
    curves = {}
    for part in ("train", "validation", "test"):
        values = getattr(run, f"{part}_{metric}")
        # With a validation set, the test set is used once, even if there is only one epoch.
        is_once = len(values) < run.epochs or (part == "test" and "validation" in curves)
        if values:
            curves[f"{part}, once at the end" if is_once else part] = values
    return curves
