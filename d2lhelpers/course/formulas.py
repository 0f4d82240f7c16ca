"""LaTeX to MathML, which browsers draw without a script, as TeX would set it."""

import itertools
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_SPACE = "http://www.w3.org/1998/Math/MathML"
_THIN = "0.167em"
_OPENING, _CLOSING = "⌊⌈", "⌋⌉"
_PRIMES = {*"′″‴"}
_LARGE = {*"∑∏⋃⋂", "max", "min", "lim", "sup", "inf", "argmax", "argmin"}
"""What has its limits above and below where there is room."""
_LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}


def formula(latex: str, *, block: bool = False) -> str:
    """The formula as MathML; what cannot be converted is shown as it was written.

    latex2mathml leaves some of TeX's care undone: function names and their space, brackets of
    rounding, limits below and above, words set as one.

    Args:
        latex: without the dollars around it.
        block: whether it stands on a line of its own.
    """
    from html import escape

    from latex2mathml.converter import convert

    latex = latex.strip().replace("{aligned}", "{align*}")
    try:
        root = ElementTree.fromstring(convert(latex, display="block" if block else "inline"))
    except Exception:  # its own errors have no common type
        return f"<code>{escape(latex)}</code>"
    _improve(root)
    ElementTree.register_namespace("", _SPACE)
    return ElementTree.tostring(root, encoding="unicode")


def _improve(element: Element) -> None:
    children = list(_with_whole_words(element))
    for child in children:
        _improve(child)
    for child in children:
        _name_rightly(child)
    if _is_row(element):
        _mark_signs(children)
        children = _with_bracketed_matrices(_with_thin_spaces(children))
    element[:] = children


def _with_whole_words(element: Element) -> Iterator[Element]:
    """The children; upright letters side by side, as of ReLU, become one name."""
    for upright, group in itertools.groupby(element, lambda e: e.get("mathvariant") == "normal"):
        letters = list(group)
        if upright and len(letters) > 1 and all(_kind(e) == "mi" for e in letters):
            letters[0].text = "".join(e.text or "" for e in letters)
            del letters[0].attrib["mathvariant"]
            yield letters[0]
        else:
            yield from letters


def _name_rightly(element: Element) -> None:
    text = (element.text or "").strip()
    if _kind(element) == "mi" and text in {*_OPENING, *_CLOSING}:
        _rename(element, "mo")
        element.attrib.update(stretchy="false", form="prefix" if text in _OPENING else "postfix")
    elif _kind(element) == "mo" and text == "/":
        element.attrib.update(lspace="0", rspace="0")
    elif _kind(element) == "msup" and (element[1].text or "").strip() in _PRIMES:
        _rename(element, "mrow")  # a prime is small and raised by itself
        _rename(element[1], "mo")
        element[1].attrib.update(lspace="0", rspace="0")
    elif _kind(element) == "mo" and text.isascii() and text.isalpha():
        _rename(element, "mi")
    elif _kind(element) in _LIMITS and (element[0].text or "").strip() in _LARGE:
        _rename(element, _LIMITS[_kind(element)])
        _rename(element[0], "mo")
        element[0].set("movablelimits", "true")
        if element[0].text.isalpha():
            element[0].attrib.update(lspace="0", rspace="0")


def _mark_signs(row: list[Element]) -> None:
    """A plus or minus after another operator, as in "= −2", is a sign and stands close."""
    for before, element in itertools.pairwise(row):
        is_sign = _kind(element) == "mo" and (element.text or "").strip() in {*"+-−"}
        if is_sign and _kind(before) == "mo" and before.text not in {*_CLOSING, *")]}|"}:
            element.set("form", "prefix")


def _with_thin_spaces(row: list[Element]) -> Iterator[Element]:
    """The row with TeX's thin space around the names of functions, where no operator is."""
    for before, element in itertools.pairwise([None, *row]):
        # After sin in "sin x" and before it in "2 sin x"; not in "sin(x)", whose bracket is mo.
        if (
            before is not None
            and not {_kind(before), _kind(element)} & {"mo", "mspace"}
            and (_is_function(before) or _is_function(element))
        ):
            yield Element(f"{{{_SPACE}}}mspace", width=_THIN)
        yield element


def _with_bracketed_matrices(row: Iterable[Element]) -> Iterator[Element]:
    """Each matrix in a row of its own with its brackets, which stretch to the row's height."""
    row = list(row)
    while row:
        if [_kind(element) for element in row[:3]] == ["mo", "mtable", "mo"]:
            matrix = Element(f"{{{_SPACE}}}mrow")
            matrix[:], row = row[:3], row[3:]
            yield matrix
        else:
            yield row.pop(0)


def _is_function(element: Element) -> bool:
    name = element
    while _kind(name) in {"mrow", *_LIMITS, *_LIMITS.values()} and len(name):
        if _kind(name) == "mrow" and len(name) > 1:
            return False
        name = name[0]
    return _kind(name) in ("mi", "mo") and len(name.text or "") > 1 and name.text.isalpha()


def _is_row(element: Element) -> bool:
    return _kind(element) in ("math", "mrow", "mstyle", "mtd", "msqrt")


def _kind(element: Element) -> str:
    return element.tag.removeprefix(f"{{{_SPACE}}}")


def _rename(element: Element, kind: str) -> None:
    element.tag = f"{{{_SPACE}}}{kind}"
