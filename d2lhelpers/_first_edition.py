"""How chapters judged before `judge`; goes with the last of them that does so still."""

from .evidence import marked, standard_error
from .say import Text, say

__all__ = ["is_higher", "verdict"]


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
