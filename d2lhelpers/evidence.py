"""Is a difference real? Claims about runs on trial, and their three marks ✓ ✗ ?.

``judge`` puts a claim about runs on trial, ``judge_close`` one about values that should be equal.
Both return a ``Verdict``, which displays its mark and its numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from .measures import CURVE_NAMES, Measure, Noise, Sample, Side, noise_floor
from .say import Text, say

__all__ = ["Verdict", "judge", "judge_close"]

MARKS = {
    "✓": Text(zh="成立", en="Holds"),
    "✗": Text(zh="不成立", en="Does not hold"),
    "?": Text(zh="这次运行分不出", en="This run cannot tell"),
}

REASONS = {
    "noise": Text(zh="不知道种子之间的噪声多大", en="the noise between seeds is not known"),
    "diverged": Text(zh="有的训练发散了", en="a run diverged"),
    "not learned": Text(zh="有一边没有学会", en="a side has not learned"),
    "infinite": Text(zh="有的数不是有限的", en="a number is not finite"),
    "margin": Text(zh="差别小于要求的界限", en="the difference does not clear its margin"),
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One relation of a claim: what was measured on its two sides, and what follows.

    ``interval`` is the 95 % interval of the first side's mean minus the second's, None where there
    is none. ``reason`` is a key of ``REASONS`` where something else than the interval decided.
    """

    mark: str
    relation: str
    sides: tuple[Sample, Sample]
    interval: tuple[float, float] | None = None
    noise: Noise | None = None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A mark and the numbers behind it; displays itself, in both languages or in the chosen one.

    ``mark`` is "✓", "✗" or "?"; ``comparisons`` has the numbers of ``judge``.
    """

    mark: str
    numbers: Text
    comparisons: tuple[Comparison, ...] = ()

    def __repr__(self) -> str:
        return str(marked(self.mark, self.numbers))

    def _ipython_display_(self) -> None:
        say(*marked(self.mark, self.numbers))


def marked(mark: str, rest: Text) -> Text:
    word = MARKS[mark]
    return Text(zh=f"{mark} {word.zh}：{rest.zh}", en=f"{mark} {word.en}: {rest.en}")


def judge(
    *claim: Side | str,
    by: Measure = "test_accuracy",
    margin: float = 0.0,
    learned: float = 0.2,
    noise: Iterable[Side] = (),
) -> Verdict:
    """Put a claim on trial: ``judge(a, ">", b)``, or in strict order ``judge(a, ">", b, ">", c)``.

    Each side is a run or runs with other seeds, a number for each seed, or one plain number,
    which is exact: ``judge(ratios, ">", 10)``. The relation is ">", "<", or "==" for equal within
    ``margin``. A difference has a 95 % interval: Student's t at the pooled degrees of freedom times
    √(1/n₁ + 1/n₂) times the noise floor, the standard deviation between seeds. That is pooled over
    all variants at hand with two seeds or more and, for test accuracy, those of ``results.csv``
    under the same conditions (source, number of training images, epochs).

    - ✓ where the interval lies wholly on the claimed side and clears the margin (for "==", where it
      lies within the margin),
    - ✗ where it lies wholly on the other,
    - ? otherwise; also where the noise is not known, or a side has not learned.

    A whole claim is ✓ where every relation is, ✗ where one is. Of no real difference, ✓ is said in
    1 experiment of 40.

    A run that diverged has no number, and a smaller rate might have saved it: that a net diverged
    never earns a ✓. Where all runs of the side claimed to be better (higher accuracy, lower loss)
    diverged, and the other side learned, the claim is ✗; else ?. A level never reached
    (``steps_until``) counts as reached at the last step looked at, which understates it; what such
    a bound cannot show is ?.

    What the interval assumes: seeds are independent draws of initial weights and batch order, with
    much the same spread in all that is pooled. It says what other seeds would give on these test
    images: all runs share them, so the spread between seeds does not contain their luck. What other
    images would give is a second question, for which √(p (1 - p) / n) is too wide a measure: two
    nets mostly err on the same images, so their luck is shared in part. That both sides have a
    seed 0 is not used.

    Args:
        claim: sides and relations by turns.
        by: what is compared: a curve of ``History``, at its last epoch, or a function of a run.
        margin: the least difference that matters, in units of the measure.
        learned: the accuracy (fraction) that each run must have reached where ``by`` is a curve;
            by default twice what guessing among ten classes scores.
        noise: further groups of runs, or numbers, whose spread between seeds counts as well.

    Raises:
        TypeError: a side holds neither runs nor numbers.
        ValueError: sides and relations do not alternate, an unknown relation or curve, an empty
            side, a seed twice in it, or a margin that the relation cannot use.

    >>> judge([0.81, 0.82, 0.80], ">", [0.71, 0.70, 0.69]).mark
    '✓'
    >>> judge([0.81, 0.82, 0.80], ">", [0.81, 0.80, 0.82]).mark
    '?'
    """
    relations = claim[1::2]
    if len(claim) < 3 or len(claim) % 2 == 0 or not all(map(_is_relation, relations)):
        raise ValueError(
            Text(
                zh=f'judge 的说法要像 judge(a, ">", b)，关系是 ">"、"<" 或 "=="；'
                f"得到 {len(claim)} 项，关系是 {relations!r}。",
                en='expected a claim like judge(a, ">", b) with the relations ">", "<" or "=="; '
                f"got {len(claim)} parts, with the relations {relations!r}.",
            )
        )
    if margin < 0 or ("==" in relations and margin == 0):
        raise ValueError(
            Text(
                zh=f'margin 是 {margin}；不能是负数，用 "==" 时要大于 0。',
                en=f'margin is {margin}; it may not be negative, and with "==" not 0.',
            )
        )
    sides = [Sample.of(side, by) for side in claim[::2]]
    curve = None if callable(by) or not any(side.runs for side in sides) else by
    least = learned if curve else -math.inf
    floor = noise_floor([*sides, *(Sample.of(group, by) for group in noise)], by, least)
    comparisons = tuple(
        _compare(a, relation, b, floor, margin, curve, least)
        for a, relation, b in zip(sides, relations, sides[1:], strict=False)
    )
    marks = [comparison.mark for comparison in comparisons]
    mark = next((mark for mark in "✗?" if mark in marks), "✓")
    return Verdict(mark, _numbers(comparisons, curve), comparisons)


def _compare(
    a: Sample,
    relation: str,
    b: Sample,
    floor: Noise | None,
    margin: float,
    curve: str | None,
    least: float,
) -> Comparison:
    exact = a.exact and b.exact
    undecided = functools.partial(Comparison, "?", relation, (a, b))
    if a.diverged or b.diverged:
        lost = _is_lost(a, relation, b, curve, least)
        return Comparison("✗" if lost else "?", relation, (a, b), reason="diverged")
    if not (a.has_learned(least) and b.has_learned(least)):
        return undecided(reason="not learned")
    if not math.isfinite(a.mean - b.mean):
        return undecided(reason="infinite")
    if floor is None and not exact:
        return undecided(reason="noise")
    half = 0.0 if exact or floor is None else _half_width(floor, a, b)
    low = -math.inf if b.bounded else a.mean - b.mean - half
    high = math.inf if a.bounded else a.mean - b.mean + half
    mark, reason = _mark(low, high, relation, margin)
    return Comparison(mark, relation, (a, b), (low, high), None if exact else floor, reason)


def _half_width(noise: Noise, a: Sample, b: Sample) -> float:
    """Half of the 95 % interval of a difference of means."""
    from scipy.stats import t

    quantile = float(t.ppf(0.975, noise.freedom))
    return quantile * noise.deviation * math.sqrt(a.variance_share + b.variance_share)


def _is_lost(a: Sample, relation: str, b: Sample, curve: str | None, least: float) -> bool:
    """Whether all of the side claimed to be better diverged, and the other one learned."""
    if curve is None or relation == "==":
        return False
    better, other = (a, b) if (relation == ">") == curve.endswith("accuracy") else (b, a)
    return all(map(math.isnan, better.values)) and not other.diverged and other.has_learned(least)


def _mark(low: float, high: float, relation: str, margin: float) -> tuple[str, str | None]:
    """What an interval of the first mean minus the second says of a relation, and why."""
    if relation == "==":
        if low > margin or high < -margin:
            return "✗", None
        return ("✓", None) if -margin <= low and high <= margin else ("?", None)
    if relation == "<":
        low, high = -high, -low
    if high < 0 or low == high == 0:  # exact numbers that are equal
        return "✗", None
    if low > margin:
        return "✓", None
    return "?", "margin" if low > 0 else None


def _numbers(comparisons: Iterable[Comparison], curve: str | None) -> Text:
    """The numbers of a verdict in words: measure, sides, difference, interval, seeds, noise."""
    name = CURVE_NAMES[curve] if curve else Text("", "")
    digits = ".4f" if curve else ".4g"
    lines = [_line(comparison, digits) for comparison in comparisons]
    return Text(
        zh=f"{name.zh} {'；'.join(line.zh for line in lines)}。".lstrip(),
        en=f"{name.en} {'; '.join(line.en for line in lines)}.".lstrip(),
    )


def _line(comparison: Comparison, digits: str) -> Text:
    one_model = len({side.name.partition("/")[0] for side in comparison.sides}) == 1
    a, b = (_side(side, digits, one_model) for side in comparison.sides)
    zh = [f"{a.zh} {comparison.relation} {b.zh}"]
    en = [f"{a.en} {comparison.relation} {b.en}"]
    if comparison.interval and comparison.noise:
        low, high = (f"{end:+{digits}}".replace("inf", "∞") for end in comparison.interval)
        seeds = [str(side.seeds) for side in comparison.sides if side.seeds]
        deviation, freedom = f"{comparison.noise.deviation:{digits}}", comparison.noise.freedom
        zh += [f"差的 95% 区间 [{low}, {high}]", f"种子 {' 对 '.join(seeds)}"]
        zh += [f"噪声 {deviation}（自由度 {freedom}）"]
        en += [f"95% interval of the difference [{low}, {high}]"]
        en += [f"{' against '.join(seeds)} seeds"]
        en += [f"noise {deviation} ({freedom} degrees of freedom)"]
    if comparison.reason:
        zh.append(REASONS[comparison.reason].zh)
        en.append(REASONS[comparison.reason].en)
    return Text(zh="，".join(zh), en=", ".join(en))


def _side(side: Sample, digits: str, one_model: bool) -> Text:
    """A side's mean, and of what: the variant, and its model where the other side has another."""
    if side.diverged:
        value = Text(zh="发散", en="diverged")
    else:
        number = f"{side.mean:{digits}}"
        value = (
            Text(zh=f"超过 {number}", en=f"over {number}") if side.bounded else Text(number, number)
        )
    name = side.name.partition("/")[2] if one_model else side.name
    if not name:
        return value
    return Text(zh=f"{value.zh}（{name}）", en=f"{value.en} ({name})")


def _is_relation(part: object) -> bool:
    return isinstance(part, str) and part in (">", "<", "==")


def _exact(numbers: Tensor) -> Tensor:
    return numbers.to(torch.complex128 if numbers.is_complex() else torch.float64)


def judge_close(a: Tensor, b: Tensor, *, tolerance: float) -> Verdict:
    """Put on trial that two tensors hold equal numbers: ✓ or ✗, no noise is in play.

    Args:
        a: numbers of any shape, such as scores (B, K).
        b: as many, of the same shape.
        tolerance: the largest difference that counts as equal. float32 carries about seven digits,
            and sums of many numbers lose one or two of them.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = (_exact(torch.as_tensor(side).detach().cpu()) for side in (a, b))
    if a.shape != b.shape or a.numel() == 0:
        raise ValueError(
            Text(
                zh=f"两边要形状相同、至少有一个数；得到 {tuple(a.shape)} 和 {tuple(b.shape)}。",
                en="expected two tensors of one shape and at least one number; got "
                f"{tuple(a.shape)} and {tuple(b.shape)}.",
            )
        )
    largest = (a - b).abs().max().item()  # NaN on either side is NaN here, and not close
    return Verdict(
        "✓" if largest <= tolerance else "✗",
        Text(
            zh=f"{a.numel()} 个数，最大的差 {largest:.2g}，容许 {tolerance:.2g}。",
            en=f"{a.numel()} numbers, largest difference {largest:.2g}, tolerance {tolerance:.2g}.",
        ),
    )
