"""Virtual environments for tests, made in seconds and without a network.

Large packages such as torch are not installed again: they are linked from the running environment,
with their metadata, so that pip counts them as installed.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent


def requirements(*extras: str) -> list[str]:
    """What ``pyproject.toml`` asks for, with these extras."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return project["dependencies"] + [line for extra in extras for line in optional[extra]]


def closure(lines: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """The installed distributions that requirements ask for, directly or not, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    todo = [(Requirement(line), "") for line in lines]
    while todo:
        wanted, extra = todo.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        distribution = importlib.metadata.distribution(wanted.name)
        known = distribution.name in found
        found[distribution.name] = distribution
        if not known or wanted.extras:
            needs = [Requirement(line) for line in distribution.requires or ()]
            todo += [(need, each) for need in needs for each in ("", *wanted.extras)]
    return found


def create(folder: Path, lines: Iterable[str]) -> Path:
    """A virtual environment that has pip and what these requirements ask for, and no more.

    Returns:
        Its Python.
    """
    venv.create(folder / "venv")
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    linked = folder / "linked"
    linked.mkdir()
    for distribution in closure(["pip", *lines]).values():
        for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (linked / name).exists():
                (linked / name).symlink_to(distribution.locate_file(name).resolve())
    if (shared := Path(sys.prefix, "share")).exists():  # nbconvert's templates and the like
        (folder / "venv" / "share").symlink_to(shared)
    command = "import sysconfig; print(sysconfig.get_path('purelib'))"
    (Path(run(python, "-c", command).stdout.strip()) / "linked.pth").write_text(f"{linked}\n")
    return python


def run(python: Path, *arguments: str | Path, folder: Path | None = None):
    """Runs this Python with these arguments, away from the checkout; returns the finished process.

    Raises:
        AssertionError: it failed.
    """
    done = attempt(python, *arguments, folder=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def attempt(python: Path, *arguments: str | Path, folder: Path | None = None):
    """As ``run``, but failing is a result too."""
    return subprocess.run(
        [python, *arguments],
        cwd=folder or Path(python).parent,
        env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "D2L_LANGUAGE")},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
    )


def copy_source(folder: Path) -> Path:
    """A copy of what pip builds the package from, for a build in the checkout leaves traces."""
    cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "d2lhelpers", folder / "d2lhelpers", ignore=cache)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    return folder
