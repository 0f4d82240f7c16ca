"""Notebooks in one language, made from the bilingual ones, and copies for a reader to work on."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from .._paths import folders_as_environment, project_folder, write_atomically
from ..say import LANGUAGES, Text, say, use_language
from .notebooks import notebooks, read_notebook
from .pictures import attach_pictures, describe_images

if TYPE_CHECKING:
    import nbformat

FOLDED = {"imports", "hide-input"}
"""Tags of cells whose code is plumbing and folded away."""


def one_language(
    notebook: nbformat.NotebookNode, language: str, folder: Path | None = None
) -> nbformat.NotebookNode:
    """A copy with the text, outputs and alternative texts of one language only.

    When it is run, ``d2lhelpers`` speaks that language. Plumbing is folded, and picture files
    become part of the notebook.

    Args:
        notebook: of the course; left as it is.
        language: "zh" or "en".
        folder: where the notebook's picture files are; by default the course's.

    Raises:
        ValueError: the course has no such language, a picture file is missing, or the set-up
            cell does not import ``d2lhelpers`` in the usual way.
    """
    if language not in LANGUAGES:
        raise ValueError(
            Text(
                zh=f"没有 {language!r} 版；有：{', '.join(LANGUAGES)}。",
                en=f"no edition in {language!r}; there are: {', '.join(LANGUAGES)}.",
            )
        )
    edition = copy.deepcopy(notebook)
    (other,) = LANGUAGES.keys() - {language}
    edition.cells = [cell for cell in edition.cells if other not in tags_of(cell)]
    for number, cell in enumerate(edition.cells, start=1):
        cell.setdefault("id", f"cell-{number}")  # notebooks before format 4.5 have none
        if cell.cell_type == "markdown":
            attach_pictures(cell, folder or project_folder() / "notebooks")
        elif cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("metadata", {}).get("lang") != other]
            describe_images(cell, language)
            for output in cell.outputs:
                _keep_words(output, language)
            if FOLDED & tags_of(cell):
                cell.metadata.setdefault("jupyter", {})["source_hidden"] = True
            if "imports" in tags_of(cell):
                _let_speak(cell, language)
    edition.nbformat_minor = max(edition.nbformat_minor, 5)
    own = edition.metadata.setdefault("d2lhelpers", {})
    own.pop("code_sha256", None)  # it is of the bilingual notebook
    own["edition"] = {"language": language, "sha256": _digest(edition)}
    return edition


def tags_of(cell: nbformat.NotebookNode) -> set[str]:
    """The cell's tags."""
    return set(cell.metadata.get("tags", []))


def _keep_words(output: nbformat.NotebookNode, language: str) -> None:
    """What brings its words in both languages, such as the page of ``live``, shows one of them."""
    html = output.get("data", {}).get("text/html", "")
    both = f'data-languages="{" ".join(LANGUAGES)}"'
    if both in html:
        html = html.replace(both, f'data-languages="{language}"')
        line = list(LANGUAGES).index(language) + 1  # its still picture's description has one each
        output.data["text/html"] = re.sub(r'alt="([^"\n]*)\n([^"]*)"', rf'alt="\{line}"', html)


def _let_speak(cell: nbformat.NotebookNode, language: str) -> None:
    if "import d2lhelpers as d2l" not in cell.source.splitlines():
        raise ValueError(
            Text(
                zh="准备单元格里要有这一行：import d2lhelpers as d2l。",
                en="the set-up cell must have the line import d2lhelpers as d2l.",
            )
        )
    cell.source += f'\nd2l.use_language("{language}")'


def _digest(notebook: nbformat.NotebookNode) -> str:
    """SHA-256 over all that a reader may change or make: text, code and outputs.

    Not over what JupyterLab changes by itself when it saves.
    """
    cells = [(cell.cell_type, cell.source, _results(cell)) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()


def _results(cell: nbformat.NotebookNode) -> tuple[str, list]:
    """What a cell printed, in however many goes, and its other outputs."""
    outputs = cell.get("outputs", [])
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    others = [output for output in outputs if output.output_type != "stream"]
    return printed, [output.get("data", output.get("ename")) for output in others]


def open_lab(language: str | None) -> None:
    """Open JupyterLab on the course's notebooks, until the reader ends it.

    Args:
        language: "zh" or "en" for copies in one language, see ``write_editions``; None for both.
    """
    from jupyterlab.labapp import main

    if language:
        use_language(language)
        folder = write_editions(language)
    else:
        folder = project_folder() / "notebooks"
    os.environ.update(folders_as_environment())
    arguments = [str(folder)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container, where it would refuse
        arguments.append("--allow-root")
    main(arguments)


def write_editions(language: str) -> Path:
    """Write the course's notebooks in one language for a reader to work on.

    A chapter that the reader has changed or run stays as it is: where the course has a newer one,
    that is put beside it under another name, and a line says so.

    Args:
        language: "zh" or "en".

    Returns:
        The folder, ``work/en`` or ``work/zh`` in the project.

    Raises:
        ValueError: the course has no such language.
    """
    folder = project_folder() / "work" / language
    for path in notebooks():
        edition = one_language(read_notebook(path), language, path.parent)
        written = _put(edition, folder / path.name)
        if written.name != path.name:
            say(
                zh=f"{path.name} 你改过或运行过，保持原样；课程的新版本放在 {written.name}。",
                en=f"You have changed or run {path.name}, so it stays as it is; the course's new "
                f"version is in {written.name}.",
            )
    return folder


def _put(edition: nbformat.NotebookNode, path: Path) -> Path:
    """Write the edition to ``path``, or to the first name after it that takes nothing away.

    Returns:
        The file that holds the edition, or that the reader made out of it.
    """
    import nbformat

    made_from = edition.metadata["d2lhelpers"]["edition"]["sha256"]
    number, target = 1, path
    while target.exists():
        original, changed = _origin(target)
        if original == made_from:
            return target
        if not changed:
            break
        number += 1
        target = path.with_name(f"{path.stem}-{number}{path.suffix}")
    write_atomically(target, lambda partial: nbformat.write(edition, partial))
    return target


def _origin(path: Path) -> tuple[str | None, bool]:
    """The digest of the edition that a file was, and whether it has been changed since."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        original = notebook.metadata["d2lhelpers"]["edition"]["sha256"]
    except Exception:  # whatever it is, it is the reader's
        return None, True
    return original, _digest(notebook) != original
