"""Where the course is published, stamped into the notebooks and the README.

The address stands in ``pyproject.toml`` alone, as ``repository`` of ``[tool.d2lhelpers]``; it is
empty until the course is published.
"""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from .._paths import project_folder, write_atomically
from ..say import Text
from .notebooks import code_digest, notebooks, outputs_are_current, read_notebook
from .readme import with_section

if TYPE_CHECKING:
    import nbformat

BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
_BADGE = re.compile(r"\n\n\[!\[[^\]]*\]\(" + re.escape(BADGE) + r"\)\]\([^)]*\)")
_INSTALL = re.compile(r"^# Stamped by: python -m d2lhelpers stamp\n(?:.+\n?)+", re.M)
"""The block of lines that ``_install_lines`` gives, in this or an earlier form: to the next empty
line."""


def repository() -> str:
    """The address in ``pyproject.toml``, "" before the course is published.

    Raises:
        ValueError: it is not the address of a repository on GitHub, from which alone Colab opens
            notebooks.
    """
    text = (project_folder() / "pyproject.toml").read_text(encoding="utf-8")
    address = tomllib.loads(text)["tool"]["d2lhelpers"]["repository"]
    if address and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+(?<!\.git)", address):
        raise ValueError(
            Text(
                zh=f"pyproject.toml 里的 repository 是 {address!r}；"
                "Colab 只能从 GitHub 打开笔记本，请写 https://github.com/OWNER/NAME，或者留空。",
                en=f"repository in pyproject.toml is {address!r}; Colab opens notebooks from "
                "GitHub, so give https://github.com/OWNER/NAME, or leave it empty.",
            )
        )
    return address


def stamp(address: str) -> list[Path]:
    """Write the address into every notebook and the README; returns the files that changed.

    Args:
        address: as ``repository`` returns it; "" takes an earlier stamp out.
    """
    import nbformat

    changed = []
    for path in notebooks():
        notebook = read_notebook(path)
        stamped = stamped_notebook(notebook, path.name, address)
        if stamped != notebook:
            write_atomically(path, lambda partial, new=stamped: nbformat.write(new, partial))
            changed.append(path)
    readme = project_folder() / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = stamped_readme(before, address)
    if after != before:
        write_atomically(readme, lambda partial: partial.write_text(after, encoding="utf-8"))
        changed.append(readme)
    return changed


def stamped_notebook(
    notebook: nbformat.NotebookNode, name: str, address: str
) -> nbformat.NotebookNode:
    """A copy with this address in its set-up cell and a Colab badge under its title.

    Stored outputs stay current: what the set-up cell installs does not change them.

    Args:
        notebook: of the course; left as it is.
        name: of its file.
        address: as ``repository`` returns it.

    Raises:
        ValueError: the set-up cell does not have the lines that install the package.
    """
    current = outputs_are_current(notebook)
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if "imports" in cell.metadata.get("tags", []):
            cell.source, found = _INSTALL.subn(lambda _: _install_lines(address), cell.source)
            if found != 1:
                raise ValueError(
                    f"{name}: the set-up cell should have one block of lines that begins with "
                    f"'# Stamped by', found {found}; take it over from another chapter."
                )
    for cell, text in zip(notebook.cells[:2], ("在 Colab 里打开", "Open in Colab"), strict=True):
        cell.source = _BADGE.sub("", cell.source)
        if address:
            cell.source += f"\n\n[![{text}]({BADGE})]({colab_link(name, address)})"
    if current:
        notebook.metadata["d2lhelpers"]["code_sha256"] = code_digest(notebook)
    return notebook


def colab_link(name: str, address: str) -> str:
    """Where Colab opens the notebook of this name, on the branch ``main``."""
    path = address.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{path}/blob/main/notebooks/{name}"


def stamped_readme(text: str, address: str) -> str:
    """The README with install line and Colab badges between its two markers."""
    lines = ["课程还没有发布。The course is not published yet."]
    if address:
        lines = [f"    pip install git+{address}", ""] + [
            f"[![{path.stem}]({BADGE})]({colab_link(path.name, address)}) {path.stem}  "
            for path in notebooks()
        ]
    return with_section(text, "published", "\n".join(lines))


def _install_lines(address: str) -> str:
    """Lines that install the package where torch is, but not the package: on Colab, on Kaggle.

    They install what is missing and replace nothing: what is there constrains pip. An empty folder
    named ``d2lhelpers`` is found as well, but has no origin. Where there is no torch, the reader
    most likely has the wrong kernel, and gets no download of gigabytes instead of a word.
    """
    url = f"git+{address}" if address else ""
    return f'''# Stamped by: python -m d2lhelpers stamp
COURSE_URL = "{url}"
if not getattr(importlib.util.find_spec("d2lhelpers"), "origin", None):
    if not (COURSE_URL and importlib.util.find_spec("torch")):
        raise ModuleNotFoundError(
            "缺少 d2lhelpers：在课程目录里 pip install -r requirements.txt，再重启内核；"
            "在别处（例如 Colab）填写 COURSE_URL（git+ 和仓库网址）。\\n"
            "d2lhelpers is missing: pip install -r requirements.txt in the course's folder, then "
            "restart the kernel; elsewhere (Colab, say) set COURSE_URL to git+ and the repository."
        )
    pip = [sys.executable, "-m", "pip"]
    with open("installed.txt", "w") as file:
        subprocess.run([*pip, "list", "--format=freeze"], stdout=file, check=True)
    subprocess.run([*pip, "install", "-c", "installed.txt", COURSE_URL], check=True)
'''
