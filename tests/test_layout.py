"""The house as it is built: read from the source with ``ast``, nothing is executed."""

import ast
import importlib.metadata
import sys
from pathlib import Path

import environments
import pytest

import d2lhelpers
from d2lhelpers.course import notebooks as files

PACKAGE = Path(d2lhelpers.__file__).parent
LINES = 320
EXPECTED = {
    "hint",
    "solution",
    "try_all_gpus",
    "use_language",
}
"""Exported for readers' own code, though no chapter calls them."""
MODULES = {"results"}
"""Not exported, but imported by chapters that compare with stored runs."""


def module_name(path, package=PACKAGE):
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_modules(package=PACKAGE):
    """Syntax trees by module name."""
    return {
        module_name(path, package): ast.parse(path.read_text(encoding="utf-8"), str(path))
        for path in sorted(package.rglob("*.py"))
    }


def imported(name, tree, modules):
    """Full names of what a module imports, wherever in it the statement stands.

    ``from x import y`` is ``x.y`` where that is a module of the package, else ``x``.
    """
    inside = any(other.startswith(f"{name}.") for other in modules)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")
            base = base[: len(base) - node.level + inside] if node.level else []
            base = ".".join(base + ([node.module] if node.module else []))
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in modules else base)
    return found


def graph(modules):
    """Which modules of the package each one imports; a package counts by its ``__init__``."""
    return {
        name: imported(name, tree, modules) & modules.keys() - {name}
        for name, tree in modules.items()
    }


def circle(edges):
    """The names along one import circle, or [] where there is none."""
    done = set()

    def walk(name, path):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges[name]):
            if found := walk(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next(filter(None, (walk(name, []) for name in sorted(edges))), [])


def write_package(folder, **modules):
    (folder / "house").mkdir()
    for name, source in modules.items():
        (folder / "house" / f"{name}.py").write_text(source)
    return folder / "house"


def test_there_is_no_import_circle():
    assert circle(graph(read_modules())) == []


@pytest.mark.parametrize(
    "low", ["from .high import f", "import house.high", "def g():\n    from . import high"]
)
def test_an_import_circle_is_found(tmp_path, low):
    package = write_package(tmp_path, __init__="", low=low, high="from .low import g")
    assert set(circle(graph(read_modules(package)))) == {"house.low", "house.high"}


def test_only_the_command_line_looks_at_the_maintainers_wing():
    edges = graph(read_modules())
    course = {name for name in edges if name.startswith("d2lhelpers.course")}
    assert len(course) > 3
    looking = {name for name, others in edges.items() if others & course} - course
    assert looking == {"d2lhelpers.__main__"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=module_name)
def test_module_is_short(path):
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= LINES, f"{path.name} has {count} lines; one subject a module"


@pytest.mark.parametrize("extra", [[], ["course"]], ids=["plain", "course"])
def test_what_is_imported_is_declared(extra):
    """By ``pyproject.toml``, or by what that depends on: for readers without the extra."""
    modules = read_modules()
    names = {
        each.split(".")[0]
        for name, tree in modules.items()
        if extra or not name.startswith(("d2lhelpers.course", "d2lhelpers.__main__"))
        for each in imported(name, tree, modules)
    }
    names -= {"d2lhelpers", *sys.stdlib_module_names}
    declared = environments.closure(environments.requirements(*extra))
    providers = importlib.metadata.packages_distributions()
    missing = {name for name in names if not set(providers.get(name, ())) & declared.keys()}
    assert "torch" in names and not missing


def chapter_names(path):
    """Names that a chapter's code takes from the helpers, ``d2l.name`` or imported."""
    code = "\n".join(
        cell.source for cell in files.read_notebook(path).cells if cell.cell_type == "code"
    )
    nodes = list(ast.walk(ast.parse(code)))
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "d2l"
    } | {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module.startswith("d2lhelpers")
        for alias in node.names
    }


@pytest.mark.parametrize("path", files.notebooks(), ids=lambda path: path.stem)
def test_chapter_uses_exported_names_only(path):
    assert chapter_names(path) <= {*d2lhelpers.__all__, *MODULES}


def test_every_exported_name_is_used_or_expected():
    used = set().union(*map(chapter_names, files.notebooks()))
    assert set(d2lhelpers.__all__) - used == EXPECTED
    assert all(hasattr(d2lhelpers, name) for name in d2lhelpers.__all__)
