"""All that a learner can meet is in both languages: a rule over the sources, and its results.

The reader's wing may raise, warn and print only what holds a `Text`. Its messages are sentences
and end like sentences.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import d2lhelpers as d2l
from d2lhelpers.say import LANGUAGES

HAN = re.compile(r"[\u4e00-\u9fff]")
PACKAGE = Path(d2l.__file__).parent
# The reader's wing: course/ and its command line are for maintainers.
MODULES = [
    path
    for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("exercises/*.py")])
    if path.name != "__main__.py"
]

NOT_YET = set()
"""Modules with messages in one language; this set only shrinks."""

EXEMPT = {
    "say.say": "prints what is already in the chosen languages",
    "exercises.solution": "prints code, which has no language",
}
"""Functions that the rule does not hold for, and why: "module.function"."""


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def gives_text(tree):
    """Names of what is a `Text` in a module: functions that return one, and variables."""
    found = {"Text"}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and getattr(node.returns, "id", "") == "Text":
            found.add(node.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and mentions(node.value, found):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.arg | ast.AnnAssign) and mentions(node.annotation, {"Text"}):
            found.add(node.arg if isinstance(node, ast.arg) else getattr(node.target, "id", ""))
    return found


def mentions(node, names):
    return any(
        getattr(part, "id", None) in names or getattr(part, "attr", None) in names
        for part in (ast.walk(node) if node else ())
    )


def holds_both(arguments, texts):
    """Whether a call's arguments hold a `Text`, or else both halves of one."""
    strings = [a for a in arguments if isinstance(a, ast.Constant | ast.JoinedStr)]
    halves = {bool(HAN.search(ast.unparse(a))) for a in strings}
    return any(mentions(argument, texts) for argument in arguments) or halves == {True, False}


def ends_like_a_sentence(call):
    """Whether both halves of each `Text` in ``call`` do, as far as their last letters are known."""
    for node in ast.walk(call):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Text":
            halves = [*node.args, *(keyword.value for keyword in node.keywords)]
            for half, ends in zip(halves, ("。？！", ".?!"), strict=True):
                last = half.values[-1] if isinstance(half, ast.JoinedStr) else half
                known = isinstance(last, ast.Constant)
                if known and not last.value.rstrip('”")').endswith(tuple(ends)):
                    return False
    return True


def faults(name, tree):
    """What breaks the rule in the module ``name``: "line: why"."""
    texts, found = gives_text(tree), []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    exempt = [f for f in functions if f"{name}.{f.name}" in EXEMPT]
    skipped = {part for function in exempt for part in ast.walk(function)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            call, what = node.exc, "raises"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("warnings.warn", "print"):
            call, what = node, "warns or prints"
        else:
            continue
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        if arguments and not holds_both(arguments, texts):
            found.append(f"line {node.lineno} {what} in one language: {ast.unparse(call)[:80]}")
        elif not ends_like_a_sentence(call):
            found.append(f"line {node.lineno} {what} what ends in no full stop")
    return found


def marked(path):
    waits = pytest.mark.xfail(strict=True, reason="take its name off NOT_YET")
    return pytest.param(path, id=name_of(path), marks=[waits] if name_of(path) in NOT_YET else [])


@pytest.mark.parametrize("path", [marked(path) for path in MODULES])
def test_messages_are_in_both_languages(path):
    assert faults(name_of(path), ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "right"),
    [
        ("raise ValueError(Text(zh='坏。', en='bad.'))", True),
        ("raise ValueError(Text(zh=f'{x} 坏。', en=f'{x} is bad.')) from None", True),
        ("def why() -> Text: ...\nraise ValueError(why())", True),
        ("text = Text(zh='坏。', en='bad.')\nwarnings.warn(str(text), stacklevel=2)", True),
        ("raise Wrong('坏。', f'bad {x}.')", True),
        ("raise", True),
        ("raise Unanswered", True),
        ("raise ValueError('bad.')", False),
        ("raise ValueError(f'坏 {x}。')", False),
        ("warnings.warn('bad.', stacklevel=2)", False),
        ("print('accuracy', x)", False),
        ("raise ValueError(Text(zh='坏', en='bad.'))", False),
        ("raise ValueError(Text(zh='坏。', en=f'{x} is bad'))", False),
    ],
)
def test_the_rule(source, right):
    assert (faults("m", ast.parse(source)) == []) is right


def layer():
    return nn.Sequential(nn.Conv2d(1, 2, 3))


# A call for a message of each module that keeps the rule.
REFUSED = {
    "show_images": lambda: d2l.show_images(np.zeros((8, 8, 8, 3))),
    "show_images, classes": lambda: d2l.show_images(torch.zeros(1, 3, 8, 8), [1, 2]),
    "show_filters": lambda: d2l.show_filters(torch.zeros(4, 4)),
    "show_feature_maps": lambda: d2l.show_feature_maps(layer(), torch.ones(1, 8, 8), nn.ReLU()),
    "plot_spreads": lambda: d2l.plot_spreads({}, title="T"),
    "plot_confusion": lambda: d2l.plot_confusion(np.eye(2), "ab"),
    "accuracy": lambda: d2l.accuracy(torch.zeros(4, 3), torch.zeros(4)),
    "confusion_matrix": lambda: d2l.confusion_matrix(torch.ones(2).long(), torch.ones(2).long(), 1),
    "layer_table": lambda: d2l.layer_table(layer(), (3.0,)),
    "random_crop": lambda: d2l.random_crop(torch.zeros(2, 3, 8, 8), torch.Generator()),
    "try_gpu": lambda: d2l.try_gpu(-1),
    "check": lambda: d2l.check("9.9", 1),
    "use_language": lambda: d2l.use_language("fr"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_error_speaks_the_chosen_language(name, monkeypatch):
    said = {}
    for language in (None, *LANGUAGES):
        monkeypatch.setenv("D2L_LANGUAGE", language or "")
        with pytest.raises((ValueError, TypeError)) as caught:
            REFUSED[name]()
        said[language] = str(caught.value)
    assert said[None] == f"{said['zh']}\n{said['en']}"
    assert HAN.search(said["zh"]) and not HAN.search(said["en"])
