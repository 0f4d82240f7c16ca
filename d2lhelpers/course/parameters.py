"""A notebook's parameters: what a quick run sets, and whether given values fit."""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Mapping
from types import NoneType
from typing import TYPE_CHECKING, NamedTuple

from ..say import Text
from .notebooks import parameters_of

if TYPE_CHECKING:
    import nbformat

QUICK = {"EPOCHS": 2, "TRAIN_SIZE": 2000, "TEST_SIZE": 1000}
"""Parameters of a quick run where a notebook's metadata gives none of its own."""

_KINDS = {
    float: (float, int),
    NoneType: (int, NoneType),
    tuple: (tuple, list),
    list: (list, tuple),
}
"""Types that may stand for a parameter whose own value has another; else it must be the same."""

_SIZES = ("TRAIN_SIZE", "TEST_SIZE")

_COUNTS = (*_SIZES, "EPOCHS", "BATCH_SIZE", "SEEDS")
"""Parameters that are whole numbers; another one that is, LR = 1 for instance, may be a rate."""

_CHOICES = {"SOURCE": ("auto", "real", "synthetic")}


class Values(NamedTuple):
    """What an execution sets: parameters at its start, and anew before cells, by their ids."""

    parameters: dict
    later: dict[str, dict]


def quick_parameters(
    notebook: nbformat.NotebookNode, source: str = "auto", given: Mapping | None = None
) -> Values:
    """What the notebook's quick run sets.

    That is ``QUICK`` and the source, as far as the notebook has such parameters, and over it what
    its metadata has under ``d2lhelpers.quick``. Under ``d2lhelpers.quick_later`` stands what
    changes further down: a headline is trained until it has learned something, the experiments
    after it need only run. Cells and parameters that are gone, from a chapter that a reader cut, do
    not matter, and neither do types: the reader may have written LR = 1.

    Args:
        notebook: any, also one without parameters.
        source: of the data.
        given: values that stand over all of these, from the start to the end.

    Raises:
        ValueError: a given parameter that the notebook does not have, or a value of another type.
    """
    own, given = parameters_of(notebook), dict(given or {})
    check_parameters(own, given)
    metadata = notebook.metadata.get("d2lhelpers", {})
    first = QUICK | {"SOURCE": source} | metadata.get("quick", {}) | given
    later = metadata.get("quick_later", {})
    return Values(
        {name: value for name, value in first.items() if name in own},
        {
            cell: {name: values[name] for name in values if name in own and name not in given}
            for cell, values in later.items()
        },
    )


def assignments(values: Mapping) -> str:
    """Parameters as the code that sets them.

    >>> print(assignments({"EPOCHS": 1, "SOURCE": "real"}))
    EPOCHS = 1
    SOURCE = 'real'
    """
    return "\n".join(f"{name} = {value!r}" for name, value in values.items())


def check_parameters(own: Mapping, given: Mapping) -> None:
    """Refuse values under names that a notebook does not have, of another type or out of range.

    Args:
        own: names and values as the notebook has them.
        given: names and values to be set. A whole number may stand for a fraction and for None, and
            a fraction for a whole number that is no count.

    Raises:
        ValueError: one of them does not fit.
    """
    for name, value in given.items():
        if name not in own:
            close = difflib.get_close_matches(name.upper(), own, 1)
            raise ValueError(
                Text(
                    zh=f"没有参数 {name!r}；有 {', '.join(own) or '（没有参数）'}。"
                    + (f"要的是 {close[0]} 吗？" if close else ""),
                    en=f"there is no parameter {name!r}; there are: {', '.join(own) or 'none'}."
                    + (f" Did you mean {close[0]}?" if close else ""),
                )
            )
        typical = _typical(name, own[name])
        if not _fits(typical, value) or value not in _CHOICES.get(name, (value,)):
            expected = "/".join(_CHOICES.get(name, ())) or _expected(typical)
            raise ValueError(
                Text(
                    zh=f"{name} 是 {value!r}；应为 {expected}，例如 {typical!r}。",
                    en=f"{name} is {value!r}; expected {expected}, such as {typical!r}.",
                )
            )


def _typical(name: str, own):
    """A value whose kind is that of the parameter, whatever of it a reader happened to write."""
    if isinstance(own, tuple | list | range):
        items = [_typical(name, item) for item in own]
        return items if isinstance(own, list) else tuple(items)
    if type(own) is int and name in _SIZES:
        return None
    return float(own) if type(own) is int and name not in _COUNTS else own


def _fits(own, value) -> bool:
    """Whether a value is of the kind of a parameter's own one, and no less than can be meant.

    Sizes and numbers of epochs are at least 1; seeds, which begin with 0, and rates at least 0.
    """
    if type(value) not in _kinds(own):
        return False
    if isinstance(value, tuple | list):
        return bool(value) and all(any(_fits(each, item) for each in own) for item in value)
    if isinstance(value, int | float):
        return _least(own) <= value < math.inf
    return True


def _kinds(own) -> tuple[type, ...]:
    return _KINDS.get(type(own), (type(own),))


def _least(own) -> int:
    return 0 if own == 0 or isinstance(own, float | bool) else 1


def _expected(own) -> str:
    kinds = _kinds(own)
    if bool in kinds:
        return "True/False"
    shown = "/".join(map(_shown, kinds))
    return f"{shown} ≥ {_least(own)}" if {int, float} & set(kinds) else shown


def _shown(kind: type) -> str:
    return "None" if kind is NoneType else kind.__name__


def parse_value(text: str) -> object:
    """The value that a command line means: a Python literal where it is one, else the text.

    >>> parse_value("0.1"), parse_value("None"), parse_value("synthetic")
    (0.1, None, 'synthetic')
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
