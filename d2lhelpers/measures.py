"""What runs measured: a number for each seed, and the noise between seeds."""

from __future__ import annotations

import dataclasses
import math
import numbers
import statistics
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from .history import History
from .results import by_variant, read_results
from .say import Text
from .steps import Never

__all__ = ["CURVE_NAMES", "Measure", "Noise", "Sample", "Side", "noise_floor"]

Measure: TypeAlias = str | Callable[[History], float]
"""What is compared: a curve of ``History``, at its last epoch, or a function of a run."""

Side: TypeAlias = History | float | Sequence[History] | Sequence[float] | Tensor
"""A run, runs with other seeds, a number for each seed, or one number, which is exact."""

CURVE_NAMES = {
    f"{part.en}_{metric.en}": Text(zh=part.zh + metric.zh, en=f"{part.en} {metric.en}")
    for part in (Text("训练", "train"), Text("验证", "validation"), Text("测试", "test"))
    for metric in (Text("准确率", "accuracy"), Text("损失", "loss"))
}


@dataclasses.dataclass(frozen=True)
class Sample:
    """A side of a claim, measured: a value for each seed, NaN where it diverged, or one number."""

    values: tuple[float, ...]
    runs: tuple[History, ...] = ()
    exact: bool = False

    @classmethod
    def of(cls, side: Side, by: Measure) -> Sample:
        """Measure a side.

        Raises:
            TypeError: it holds something that is neither a run nor a number.
            ValueError: nothing in it, a seed twice, or a run without such a curve.
        """
        if isinstance(side, History):
            side = [side]
        if isinstance(side, str) or not isinstance(side, Iterable) or _is_scalar(side):
            return cls((_number(side),), exact=True)
        parts = list(side)
        runs = tuple(part for part in parts if isinstance(part, History))
        seeds = [run.seed for run in runs]
        if not parts or len(set(seeds)) < len(seeds):
            raise ValueError(
                Text(
                    zh="一边需要至少一次训练或一个数，训练的种子各不相同；"
                    f"得到 {len(parts)} 项，种子是 {seeds}。",
                    en="a side needs at least one run or number, and runs with different seeds; "
                    f"got {len(parts)} parts, with the seeds {seeds}.",
                )
            )
        if len(runs) == len(parts):
            return cls(tuple(_measure(run, by) for run in runs), runs)
        return cls(tuple(map(_number, parts)))

    @property
    def finite(self) -> list[float]:
        """What tells of noise: the values of seeds that came to an end."""
        return [] if self.exact else [value for value in self.values if math.isfinite(value)]

    @property
    def diverged(self) -> bool:
        return any(map(math.isnan, self.values))

    @property
    def bounded(self) -> bool:
        """Whether the mean is only a lower bound: a level was never reached."""
        return any(isinstance(value, Never) for value in self.values)

    @property
    def mean(self) -> float:
        """Over the seeds; a level never reached counts as reached at the last step looked at."""
        values = [value.within if isinstance(value, Never) else value for value in self.values]
        return sum(values) / len(values)

    @property
    def seeds(self) -> int:
        """How many there are; 0 for an exact number."""
        return 0 if self.exact else len(self.values)

    @property
    def variance_share(self) -> float:
        """Variance of the mean over that of one seed."""
        return 0.0 if self.exact else 1 / len(self.values)

    @property
    def name(self) -> str:
        """What the runs are called within their chapter."""
        return self.runs[0].name.partition("/")[2] if self.runs else ""

    def has_learned(self, least: float) -> bool:
        """Whether no run's accuracy (test, else validation, else training) is lower."""
        return not any(_accuracy(run) < least for run in self.runs)


def _is_scalar(side: object) -> bool:
    return isinstance(side, Tensor | np.ndarray) and side.ndim == 0


def _number(value: object) -> float:
    if isinstance(value, float):
        return value  # a Never stays one
    if isinstance(value, numbers.Real) or _is_scalar(value):
        return float(value)
    raise TypeError(
        Text(
            zh=f"两边要是 History 或数，得到 {value!r}（{type(value).__name__}）。",
            en=f"expected a History or a number on each side; got {value!r}, a "
            f"{type(value).__name__}.",
        )
    )


def _measure(run: History, by: Measure) -> float:
    if callable(by):
        return _number(by(run))
    if by not in CURVE_NAMES or not (getattr(run, by) or run.diverged):
        raise ValueError(
            Text(
                zh=f"训练 {run.name!r} 没有 {by!r}；by 可以是 {', '.join(CURVE_NAMES)}，"
                "或一个以 History 为参数的函数。",
                en=f"the run {run.name!r} has no {by!r}; by can be {', '.join(CURVE_NAMES)}, "
                "or a function of a History.",
            )
        )
    return math.nan if run.diverged else getattr(run, by)[-1]


def _accuracy(run: History) -> float:
    curves = run.test_accuracy, run.validation_accuracy, run.train_accuracy
    return next((curve[-1] for curve in curves if curve), math.nan)


class Noise(NamedTuple):
    """Standard deviation between seeds, and the degrees of freedom that it was pooled from."""

    deviation: float
    freedom: int


def noise_floor(samples: Iterable[Sample], by: Measure, learned: float) -> Noise | None:
    """Standard deviation between seeds, pooled over all variants with two seeds or more.

    Pooled are the samples and, for test accuracy, the variants of ``results.csv`` under the same
    conditions: same source, as many training images, as many epochs (longer training is calmer).
    The runs at hand stand for those of their variant in the file. What has not learned does not
    count, for chance is calm too, nor do values that are not finite.

    Args:
        samples: of one variant each.
        by: what they measure.
        learned: the accuracy from which a run has learned.

    Returns:
        The deviation and its degrees of freedom; None without two seeds anywhere, or where no seed
        made any difference: then what noise there is does not show.
    """
    samples = _without_repeats(samples)
    groups = [sample.finite for sample in samples if sample.has_learned(learned)]
    if by == "test_accuracy":
        at_hand = {run.name for sample in samples for run in sample.runs if len(sample.finite) > 1}
        runs = [run for sample in samples for run in sample.runs]
        groups += _recorded(runs, learned, leave_out=at_hand)
    groups = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum((len(group) - 1) * statistics.variance(group) for group in groups)
    return Noise(math.sqrt(squares / freedom), freedom) if squares > 0 else None


def _without_repeats(samples: Iterable[Sample]) -> list[Sample]:
    """Each group of runs once: the sides of a claim are among an experiment's variants."""
    by_runs = {tuple(map(id, sample.runs)) or i: sample for i, sample in enumerate(samples)}
    return list(by_runs.values())


def _recorded(
    like: Sequence[History], learned: float, leave_out: Collection[str]
) -> list[list[float]]:
    """Test accuracies in ``results.csv`` under the conditions of these runs, by variant."""
    conditions = {(run.source, run.train_samples, run.epochs) for run in like}
    kept = [
        run
        for run in read_results()
        if (run.source, run.train_samples, run.epochs) in conditions
        and run.test_accuracy[-1] >= learned
    ]
    return [
        [run.test_accuracy[-1] for run in seeds]
        for name, seeds in by_variant(kept).items()
        if name not in leave_out
    ]
