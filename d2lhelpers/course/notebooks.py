"""The notebooks of the course as files: list and read them, find cells, keep stored outputs."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from .._paths import folder, project_folder, write_atomically
from ..say import Text

if TYPE_CHECKING:
    import nbformat

EXERCISE = "exercise"
"""Tag of a code cell with a blank for the reader; it is stored without outputs."""


class NotebookFailure(RuntimeError):
    """A notebook stopped; the message names the notebook, the cell and the error."""


def notebooks() -> list[Path]:
    """Paths of the course's notebooks, in reading order.

    A reader's copy beside one, JupyterLab's ``01_x-Copy1.ipynb`` for instance, is none of them.
    """
    paths = (project_folder() / "notebooks").glob("*.ipynb")
    return sorted(path for path in paths if re.fullmatch(r"\d\d_\w+", path.stem))


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in ``path``, in the current format.

    Cells without an id of their own, as Colab saves them, get one from their place: the same each
    time.

    Raises:
        ValueError: the file holds no notebook.
    """
    import nbformat

    try:
        text = path.read_text(encoding="utf-8-sig")
        notebook = nbformat.convert(nbformat.reader.reads(text), to_version=4)
        taken: set[str] = set()
        for number, cell in enumerate(notebook.cells, start=1):
            if cell.get("id") in (None, *taken):
                cell.id = f"cell-{number}"
            taken.add(cell.id)
        notebook.nbformat_minor = max(notebook.nbformat_minor, 5)
    except OSError:
        raise
    except Exception as error:  # whatever the file is
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            Text(
                zh=f"{path} 不是完整的笔记本（{reason}）：是不是空的、没有下载完，或者留着合并冲突"
                f"的标记？用 git restore {shlex.quote(str(path))} 取回它，或者重新下载。",
                en=f"{path} is no whole notebook ({reason}): is it empty or cut short, or are "
                "marks of a merge left in it? Get it back with git restore "
                f"{shlex.quote(str(path))}, or download it again.",
            )
        ) from error
    return notebook


def build_folder() -> Path:
    """Where executed copies and the site go: ``D2L_BUILD``, or ``build/``, which git ignores."""
    return folder("build")


def parameters_of(notebook: nbformat.NotebookNode) -> dict:
    """Names and values that the notebook's cell tagged ``parameters`` assigns; {} without one.

    Its magics and shell commands are left out: they set no parameter, and only IPython knows them.
    """
    namespace: dict = {}
    if _cells_with_tag(notebook, "parameters"):
        source = cell_with_tag(notebook, "parameters").source
        exec(re.sub(r"^([ \t]*)[%!].*", r"\1pass", source, flags=re.MULTILINE), namespace)
        del namespace["__builtins__"]
    return namespace


def headline_names(notebook: nbformat.NotebookNode) -> list[str]:
    """The networks, "model/variant", that stand for the chapter where chapters are compared."""
    return notebook.metadata.get("d2lhelpers", {}).get("headlines", [])


def cell_with_tag(notebook: nbformat.NotebookNode, tag: str) -> nbformat.NotebookNode:
    """The notebook's only cell with this tag.

    Raises:
        ValueError: there is none, or more than one.
    """
    cells = _cells_with_tag(notebook, tag)
    if len(cells) != 1:
        raise ValueError(f"expected one cell tagged {tag!r}, found {len(cells)}")
    return cells[0]


def _cells_with_tag(notebook: nbformat.NotebookNode, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def load_models(path: Path) -> dict:
    """Namespace after executing the notebook's imports and the cells tagged ``model``.

    This is how tests reach exactly the classes that a reader sees.
    """
    tags = {"imports", "model"}
    namespace: dict = {"__name__": path.stem}
    for cell in read_notebook(path).cells:
        if tags & set(cell.metadata.get("tags", [])):
            exec(compile(cell.source, f"{path.name}:{cell.id}", "exec"), namespace)
    return namespace


def lesson_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cells in order, without the exercises."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and EXERCISE not in cell.metadata.get("tags", [])
    ]


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """SHA-256 over ids and sources of the code cells in order, exercises left out."""
    code = [(cell.id, cell.source) for cell in lesson_cells(notebook)]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def save_outputs(executed: Path, path: Path) -> None:
    """Copy the outputs of a notebook's executed copy into the notebook itself, cell by cell.

    The digest of the code is kept in the metadata, so that ``outputs_are_current`` can tell.

    Raises:
        NotebookFailure: the notebook's code is not what was executed.
    """
    import nbformat

    notebook, copy = read_notebook(path), read_notebook(executed)
    if code_digest(notebook) != code_digest(copy):
        raise NotebookFailure(
            f"{path.name}: its code was edited during the run, so the outputs in {executed} are "
            "not its own and were not stored; run it again"
        )
    results = {cell.id: cell for cell in copy.cells}
    for cell in lesson_cells(notebook):
        cell.outputs = results[cell.id].outputs
        cell.execution_count = results[cell.id].execution_count
    own = notebook.metadata.get("d2lhelpers", {})
    notebook.metadata["d2lhelpers"] = own | {"code_sha256": code_digest(notebook)}
    write_atomically(path, lambda partial: nbformat.write(notebook, partial))


def outputs_are_current(notebook: nbformat.NotebookNode) -> bool:
    """Whether the stored outputs come from a full run of exactly the code above them."""
    return notebook.metadata.get("d2lhelpers", {}).get("code_sha256") == code_digest(notebook)
