"""Exercises that check themselves: the answers are judged here, the questions are in the notebooks.

A check tries an answer on inputs of its own and looks at shapes, values and gradients, so that any
right answer passes, however it is written.
"""

import traceback
from typing import Any

import torch

from ..say import Text, say
from . import alexnet, batch_norm, googlenet, lenet, nin, resnet, vgg
from .base import Exercise, Unanswered, Wrong

CHAPTERS = (lenet, alexnet, vgg, nin, googlenet, batch_norm, resnet)

EXERCISES: dict[str, Exercise] = {
    f"{chapter}.{number}": exercise
    for chapter, module in enumerate(CHAPTERS, start=1)
    for number, exercise in enumerate(module.EXERCISES, start=1)
}
"""By number, "chapter.exercise", from easy to hard within each chapter."""


def check(number: str, answer: Any) -> None:
    """Say whether an answer is right; if not, what was expected to hold, and a hint.

    An error in the answer's own code is reported, not raised, and so is an answer still missing,
    so that "Run All" goes on. torch's random numbers are left as they were.

    Args:
        number: of the exercise, such as "3.2".
        answer: a number, function or class, as the question asks.

    Raises:
        ValueError: there is no exercise of this number.

    Example:
        >>> check("1.1", ...)
        ○ 练习 1.1 还没作答。
        ○ Exercise 1.1 has no answer yet.
    """
    right, text = judge(number, answer)
    if right is None:
        say(zh=f"○ 练习 {number} 还没作答。", en=f"○ Exercise {number} has no answer yet.")
    elif right:
        say(zh=f"✓ 练习 {number} 做对了。", en=f"✓ Exercise {number} is right.")
    else:
        tip = _find(number).hint
        say(
            zh=f"✗ 练习 {number} 还不对。{text.zh}提示：{tip.zh}",
            en=f"✗ Exercise {number} is not right yet. {text.en} Hint: {tip.en}",
        )


def hint(number: str) -> None:
    """Say an exercise's hint.

    Args:
        number: of the exercise, such as "3.2".

    Raises:
        ValueError: there is no exercise of this number.
    """
    say(*_find(number).hint)


def solution(number: str) -> None:
    """Print an exercise's worked solution and say the thought behind it.

    Args:
        number: of the exercise, such as "3.2".

    Raises:
        ValueError: there is no exercise of this number.
    """
    exercise = _find(number)
    print(exercise.code)
    say(*exercise.why)


def judge(number: str, answer: Any) -> tuple[bool | None, Text]:
    """Whether an answer is right, and if not, why not; None for one still missing.

    Args:
        number, answer: as for ``check``.

    Raises:
        ValueError: there is no exercise of this number.
    """
    exercise = _find(number)
    if answer is ...:
        return None, Text("", "")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # where all checks run
        torch.default_generator.manual_seed(0)
        try:
            exercise.check(answer)
        except Unanswered:
            return None, Text("", "")
        except Wrong as wrong:
            return False, wrong.text
        except Exception as error:
            return False, _describe(error)
    return True, Text("", "")


def _describe(error: Exception) -> Text:
    """Type and message of an error, and the line of the reader's own code that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "ipykernel_" in f.filename or "ipython-input" in f.filename]
    line = own[-1].lineno if own else None
    # As code, since what is said is shown as Markdown.
    message = " ".join(str(error).split()).rstrip(".").replace("`", "'")
    what = f"`{type(error).__name__}: {message}`" if message else f"`{type(error).__name__}`"
    where = ("", "") if line is None else (f"（第 {line} 行）", f" (line {line})")
    return Text(f"运行你的代码时出错{where[0]}：{what}。", f"Your code failed{where[1]}: {what}.")


def _find(number: str) -> Exercise:
    if str(number) not in EXERCISES:  # 1.2 without quotes will do
        known = ", ".join(EXERCISES)
        raise ValueError(
            Text(
                zh=f"没有练习 {number!r}；有：{known}。",
                en=f"There is no exercise {number!r}; there are: {known}.",
            )
        )
    return EXERCISES[str(number)]
