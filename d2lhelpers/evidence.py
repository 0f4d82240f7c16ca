"""Is a difference real? Sampling errors and the three-valued verdict."""

from .say import say

__all__ = ["is_higher", "standard_error", "verdict"]


def standard_error(accuracy: float, samples: int) -> float:
    """Standard error of an accuracy (a fraction) that was measured on so many samples.

    The binomial sqrt(p (1 - p) / n): how far another test set of the same size would move it. NaN
    where the accuracy is NaN, as of a run that diverged.

    Raises:
        ValueError: ``accuracy`` is outside [0, 1], or there are no samples.

    >>> round(standard_error(0.98, samples=10_000), 4)
    0.0014
    """
    if accuracy < 0 or accuracy > 1 or samples < 1:
        raise ValueError(
            f"accuracy must be a fraction in [0, 1] and samples at least 1; "
            f"got {accuracy!r} and {samples!r}."
        )
    return (accuracy * (1 - accuracy) / samples) ** 0.5


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

    >>> verdict(False, zh="二大于三。", en="Two is more than three.")
    ✗ 不成立：二大于三。
    ✗ Does not hold: Two is more than three.
    """
    mark_zh, mark_en = {
        True: ("✓ 成立", "✓ Holds"),
        False: ("✗ 不成立", "✗ Does not hold"),
        None: ("? 这次运行分不出", "? This run cannot tell"),
    }[holds]
    say(zh=f"{mark_zh}：{zh}", en=f"{mark_en}: {en}")
