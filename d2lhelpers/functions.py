"""What a learner's own function computes, as plain values: its code, and what the code refers to.

Whether a line was moved, a cell run again or a comment changed is not told: neither line numbers,
file names nor addresses are looked at.
"""

import dis
import hashlib
import inspect
import re
import sys
from collections.abc import Iterator
from types import CodeType

LIBRARIES = {"torch", "torchvision", "numpy", "d2lhelpers"}
"""A function of theirs is known by its name: another version is no other function."""

_CODE = re.compile(r" code (\d+\.\d+) #[0-9a-f]+")


def is_librarys(value) -> bool:
    """Whether a function, class or object comes from a library, not from the learner."""
    module = getattr(value, "__module__", None) or ""
    return module.partition(".")[0] in LIBRARIES


def code_of(value) -> str:
    """``" code 3.11 #1f2e3d4c"``: Python's version and a digest; "" of a library's function."""
    function = inspect.unwrap(value)
    if is_librarys(function) or not hasattr(function, "__code__"):
        return ""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f" code {version} #{_digest(function.__code__)}"


def have_other_code(saved, asked) -> bool:
    """Whether two descriptions come of different Pythons, whose code cannot be compared."""
    versions = [set(_CODE.findall(str(each))) for each in (saved, asked)]
    return versions[0] != versions[1]


def without_code(description) -> str:
    """The description as it is where the code is unknown."""
    return _CODE.sub("", str(description))


def referred_to(function) -> dict:
    """Names and values of defaults, of enclosing functions and of globals that the code uses.

    Of a library's function only what encloses it: its defaults are its own.
    """
    code = function.__code__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    found = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
    if is_librarys(function):
        return found
    positional = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    found |= zip(positional[len(positional) - len(defaults) :], defaults, strict=True)
    found |= function.__kwdefaults__ or {}
    known = function.__globals__
    written = _names(code, "STORE_GLOBAL")  # of the moment
    return found | {
        name: known[name]
        for name in sorted(_names(code, "LOAD_GLOBAL") - written)
        if name in known and not is_librarys(known[name])
    }


def written_by(function) -> set[str]:
    """Names of attributes that a function assigns: a counter, say, which is of the moment."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return set() if code is None else _names(code, "STORE_ATTR")


def _digest(code: CodeType) -> str:
    parts = [code.co_code.hex(), code.co_names, [_constant(each) for each in code.co_consts]]
    return hashlib.sha256(str(parts).encode()).hexdigest()[:8]


def _constant(value) -> str:
    if isinstance(value, CodeType):
        return _digest(value)
    if isinstance(value, frozenset):  # its order changes from process to process
        return str(sorted(map(_constant, value)))
    if isinstance(value, tuple):
        return str([_constant(each) for each in value])
    return repr(value)


def _names(code: CodeType, operation: str) -> set[str]:
    return {step.argval for step in _steps(code) if step.opname == operation}


def _steps(code: CodeType) -> Iterator[dis.Instruction]:
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _steps(constant)


def _is_filled(cell) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
