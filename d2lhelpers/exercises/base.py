"""What an exercise is made of, and the comparisons that its check may use."""

import inspect
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..say import Text


class Wrong(Exception):
    """What should have held for an answer and did not."""

    def __init__(self, zh: str, en: str):
        super().__init__(en)
        self.text = Text(zh, en)


class Unanswered(Exception):
    """The answer is still the ``...`` of the notebook."""


@dataclass(frozen=True)
class Exercise:
    """A question's check, hint and worked solution; the question itself is in the notebook.

    Attributes:
        check: gets the answer; raises ``Wrong`` or ``Unanswered``, or lets the answer's own error
            through.
        hint: shown on request and with a wrong answer.
        solution: a function or class that answers, or for a number the expression, as text.
        why: the thought behind the solution.
    """

    check: Callable[[Any], None]
    hint: Text
    solution: Any
    why: Text

    @property
    def code(self) -> str:
        """The solution as the reader sees it."""
        return self.solution if isinstance(self.solution, str) else inspect.getsource(self.solution)


def filled_in(result: Any) -> Any:
    """The result itself, unless it is the notebook's ``...``.

    Raises:
        Unanswered: it is.
    """
    if result is ...:
        raise Unanswered
    return result


def is_number(right: int, mistakes: Mapping[int, Text]) -> Callable[[Any], None]:
    """A check for one number.

    Args:
        right: the answer.
        mistakes: what to say of numbers that a known slip leads to.
    """

    def check(answer):
        if isinstance(answer, tuple):
            raise Wrong(
                "这是一个元组；数里别写逗号，写成 12345 或 12_345。",
                "That is a tuple: write the number without commas, as in 12345 or 12_345.",
            )
        number = must_be_number(answer)
        if number != right:
            slip = mistakes.get(number, Text("数不对。", "That is not the number."))
            raise Wrong(f"{number:,}：{slip.zh}", f"{number:,}: {slip.en}")

    return check


def must_be_number(result: Any) -> int | float:
    """The number that the answer gave, out of a tensor or NumPy's types too.

    Raises:
        Wrong: it is none.
        Unanswered: it is the notebook's ``...``.
    """
    if isinstance(filled_in(result), Tensor) and result.numel() == 1:
        result = result.item()
    if isinstance(result, bool) or not isinstance(result, numbers.Real):
        given = _kind(result)
        raise Wrong(f"应得到一个数，得到的是 {given.zh}。", f"Expected a number, got {given.en}.")
    return result


def must_have_shape(result: Any, shape: tuple[int, ...], case: Text) -> Tensor:
    """The tensor that the answer gave, on the CPU.

    Raises:
        Wrong: it is no tensor, or of another shape.
        Unanswered: it is the notebook's ``...``.
    """
    if not isinstance(filled_in(result), Tensor):
        given = _kind(result)
        raise Wrong(
            f"{case.zh}：应得到张量，得到的是 {given.zh}。",
            f"{case.en}: expected a tensor, got {given.en}.",
        )
    found = tuple(result.shape)
    if found != tuple(shape):
        raise Wrong(
            f"{case.zh}：形状应是 {tuple(shape)}，得到的是 {found}。",
            f"{case.en}: the shape should be {tuple(shape)}, not {found}.",
        )
    return result.cpu()


def _kind(result: Any) -> Text:
    """What the answer gave instead, for a message."""
    if result is None:
        return Text("None（忘了 return？）", "None (is there a return?)")
    return Text(type(result).__name__, type(result).__name__)


def must_equal(result: Any, expected: Tensor, case: Text, tolerance: float = 1e-5) -> None:
    """Compare a tensor with what it should be, in shape and values.

    Args:
        result: what the answer gave.
        expected: what is right.
        case: which input this was.
        tolerance: largest absolute difference, relative to the largest expected value above 1.

    Raises:
        Wrong: it is no tensor, has another shape, or its values differ.
        Unanswered: it is the notebook's ``...``.
    """
    found = must_have_shape(result, tuple(expected.shape), case).detach()
    difference = (found - expected.detach()).abs().max().item()
    scale = max(1.0, expected.detach().abs().max().item())
    if not difference <= tolerance * scale:  # a NaN fails as well
        raise Wrong(
            f"{case.zh}：形状对，数值最多差 {difference:.3g}。",
            f"{case.en}: the shape is right, values differ by up to {difference:.3g}.",
        )


def must_equal_with_gradient(
    result: Any,
    expected: Tensor,
    source: Tensor,
    name: str,
    where: str,
    tolerance: float = 1e-5,
) -> None:
    """Compare a tensor, and its gradient with respect to ``source``, with what they should be.

    Args:
        result, expected: as for ``must_equal``.
        source: what both are computed from.
        name: of ``source``.
        where: which input this was, in words of no language.
        tolerance: of the gradient, as for ``must_equal``.

    Raises:
        Wrong: as for ``must_equal`` and ``gradient``.
        Unanswered: the result is the notebook's ``...``.
    """
    must_equal(result, expected, Text(where, where))
    case = Text(f"{where}，{name} 的梯度", f"{where}, gradient of {name}")
    must_equal(gradient(result, source), gradient(expected, source), case, tolerance)


def gradient(output: Tensor, source: Tensor) -> Tensor:
    """Gradient of the output's sum of squares with respect to ``source``.

    Raises:
        Wrong: the output does not depend on ``source`` in a way that gradients can follow.
    """
    found = None
    if output.requires_grad:
        (found,) = torch.autograd.grad(output.square().sum(), source, allow_unused=True)
    if found is None:
        raise Wrong(
            "梯度传不回去：请直接用给的张量计算，别用 detach、item、NumPy，也别把数值抄到别处。",
            "Gradients do not get back: compute with the tensors given, without detach, item or "
            "NumPy, and not with a copy of their values.",
        )
    return found
