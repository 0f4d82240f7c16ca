"""How long learning takes: steps until a curve reaches a level."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .say import Text

__all__ = ["Never", "steps_until"]


class Never(float):
    """Steps until a level that was not reached, known only to be more than ``within``.

    As a number it is infinite.
    """

    within: float

    def __new__(cls, within: float) -> Never:
        never = super().__new__(cls, math.inf)
        never.within = within
        return never

    def __repr__(self) -> str:
        return f"> {self.within:.4g}"


def steps_until(
    curve: Sequence[float] | Tensor, relation: str, level: float, *, every: int = 1
) -> float:
    """Training steps until ``curve`` is below ("<") or above (">") a level for the first time.

    Between two entries the curve is taken as straight, so that epochs do not decide; where the
    first entry is there already, its own step is returned. Smooth a noisy curve first: its noise
    alone may cross the level.

    Args:
        curve: values, one every so many steps; NaN is neither below nor above anything.
        relation: "<" or ">".
        level: in the curve's units.
        every: steps between entries, ``len(data.train)`` for a curve of a ``History``.

    Returns:
        The steps, not rounded; ``Never`` where the level is not reached.

    Raises:
        ValueError: an empty curve or another relation.

    >>> steps_until([2.3, 2.0, 1.0], "<", 1.5, every=100)
    250.0
    >>> steps_until([2.3, 2.0, 1.0], "<", 0.5, every=100)
    > 300
    """
    values = [float(value) for value in curve]
    if not values or relation not in ("<", ">"):
        raise ValueError(
            Text(
                zh=f'需要至少一个值的曲线，关系是 "<" 或 ">"；得到 {len(values)} 个值和 '
                f"{relation!r}。",
                en='expected a curve of at least one value and the relation "<" or ">"; '
                f"got {len(values)} values and {relation!r}.",
            )
        )
    sign = 1 if relation == ">" else -1
    heights = [sign * (value - level) for value in values]
    for i, height in enumerate(heights):
        if height > 0:
            before = heights[i - 1] if i else math.nan
            share = height / (height - before) if math.isfinite(before) else 0.0
            return every * (i + 1 - share)
    return Never(every * len(values))
