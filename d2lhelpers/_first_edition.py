"""How chapters judged before ``judge``, and scheduled; goes with the last that does so still."""

import torch

from .evidence import marked, standard_error
from .say import Text, say

__all__ = ["is_higher", "one_cycle", "verdict"]


def is_higher(a: float, b: float, samples: int) -> bool | None:
    """Whether accuracy ``a`` is higher than ``b``, both measured on so many samples.

    None where they differ by less than two standard errors of the difference: too close to call.
    None as well where one is NaN: a run that diverged has no accuracy to compare.

    >>> is_higher(0.98, 0.95, samples=10_000), is_higher(0.95, 0.98, samples=10_000)
    (True, False)
    >>> print(is_higher(0.980, 0.979, samples=10_000))
    None
    """
    error = (standard_error(a, samples) ** 2 + standard_error(b, samples) ** 2) ** 0.5
    return a > b if abs(a - b) > 2 * error else None


def verdict(holds: bool | None, *, zh: str, en: str) -> None:
    """Say whether a claim held in its experiment; None says that this run cannot tell.

    The first edition's way, in which a cell decides and holds the sentence; ``judge`` does both.

    >>> verdict(False, zh="二大于三。", en="Two is more than three.")
    ✗ 不成立：二大于三。
    ✗ Does not hold: Two is more than three.
    """
    mark = {True: "✓", False: "✗", None: "?"}[holds]
    say(*marked(mark, Text(zh, en)))


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Schedule, stepped once a mini-batch: a linear rise of the learning rate, then a linear fall.

    The optimizer's own rate is the highest one, reached after the first fifth of the steps; the
    rest leads to almost zero (after Smith and Topin, "Super-convergence", 2018).

    Args:
        optimizer: whose rate follows the cycle, with the highest rate set.
        steps: of the whole training, epochs times mini-batches; 1 or more.

    Raises:
        ValueError: ``steps`` is below 1, or, later, a step is taken beyond the last.
    """
    if steps < 1:
        raise ValueError(
            Text(
                zh=f"steps 是 {steps}；应是轮数乘小批量数，至少是 1。",
                en=f"steps is {steps}; expected epochs times mini-batches, at least 1.",
            )
        )
    rising = max(1, steps // 5)

    def factor(step: int) -> float:
        if step > steps:
            raise ValueError(
                Text(
                    zh=f"一个周期只有 {steps} 步，现在是第 {step} 步；"
                    "给 one_cycle 整个训练的步数：轮数乘小批量数。",
                    en=f"step {step} of a cycle of {steps} steps; give one_cycle the steps of the "
                    "whole training, epochs times mini-batches.",
                )
            )
        return min((step + 1) / rising, (steps - step) / (steps - rising + 1))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
