"""Notebooks in one language: they speak it, and never take a reader's work away."""

import base64
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from d2lhelpers.__main__ import main
from d2lhelpers.course import editions
from d2lhelpers.course import notebooks as files
from d2lhelpers.say import chosen_languages, use_language

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SVG = '<svg><title lang="zh">圆</title><title lang="en">disc &amp; dot</title></svg>'


def cell(source, *tags, **metadata):
    return new_markdown_cell(source, metadata={"tags": list(tags), **metadata})


def code(source, *outputs, tags=(), **metadata):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags), **metadata})


def displayed(kind, data, **metadata):
    return new_output("display_data", data={kind: data, "text/plain": "?"}, metadata=metadata)


@pytest.fixture
def course(tmp_path, move_project):
    """A course of one small chapter; returns a function that writes it anew, with other text."""
    (tmp_path / "notebooks").mkdir()
    move_project(tmp_path)

    def write(text):
        notebook = new_notebook(
            cells=[
                cell("# 一\n\n二", "zh"),
                cell(f"# One\n\n{text}", "en"),
                code("import d2lhelpers as d2l", tags=["imports"]),
                code("1 + 1", new_output("stream", text="2\n")),
            ]
        )
        nbformat.write(notebook, tmp_path / "notebooks" / "01_one.ipynb")

    write("first")
    return write


@pytest.fixture
def both_languages_after():
    yield
    use_language(None)


def change(path, edit):
    notebook = nbformat.read(path, as_version=4)
    edit(notebook)
    nbformat.write(notebook, path)


def edit_text(notebook):
    notebook.cells[0].source += "\n\nmy note"


def run_it(notebook):
    notebook.cells[-1].outputs = [new_output("stream", text="3\n")]


def save_as_jupyterlab_does(notebook):
    """Other metadata and numbers, and what was printed cut into other pieces."""
    notebook.metadata["language_info"] = {"name": "python", "version": "3.13.0"}
    notebook.cells[-1].execution_count = 7
    notebook.cells[-1].outputs = [new_output("stream", text=text) for text in "2\n"]


def text_of(path):
    return nbformat.read(path, as_version=4).cells[0].source


def test_an_untouched_chapter_follows_the_course(course):
    path = editions.write_editions("en") / "01_one.ipynb"
    assert text_of(path) == "# One\n\nfirst"
    change(path, save_as_jupyterlab_does)
    course("second")
    editions.write_editions("en")
    assert text_of(path) == "# One\n\nsecond"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("work", [edit_text, run_it])
def test_a_reader_s_work_is_never_overwritten(course, capsys, work):
    path = editions.write_editions("en") / "01_one.ipynb"
    change(path, work)
    mine = path.read_bytes()
    editions.write_editions("en")
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing is newer"
    assert capsys.readouterr().out == ""

    course("second")
    for _ in range(2):  # the second time there is nothing to do
        editions.write_editions("en")
        assert path.read_bytes() == mine
        beside = sorted(each.name for each in path.parent.iterdir())
        assert beside == ["01_one-2.ipynb", "01_one.ipynb"]
        assert "01_one-2.ipynb" in capsys.readouterr().out

    change(path.with_name("01_one-2.ipynb"), work)
    course("third")
    editions.write_editions("en")
    assert path.read_bytes() == mine
    assert text_of(path.with_name("01_one-3.ipynb")) == "# One\n\nthird"


@pytest.mark.parametrize("content", ["", "not a notebook", '{"nbformat": 4, "cells": []}'])
def test_whatever_else_has_the_name_is_the_reader_s(course, tmp_path, content):
    path = tmp_path / "work" / "zh" / "01_one.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    editions.write_editions("zh")
    assert path.read_text(encoding="utf-8") == content
    assert path.with_name("01_one-2.ipynb").exists()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_an_edition_of_the_course_speaks_its_language_and_folds_plumbing(
    language, both_languages_after
):
    edition = editions.one_language(files.read_notebook(files.notebooks()[0]), language)
    setup = files.cell_with_tag(edition, "imports")
    assert setup.metadata["jupyter"]["source_hidden"]
    exec(setup.source, {})
    assert chosen_languages() == (language,)
    assert "use_language" not in files.cell_with_tag(edition, "parameters").source


def test_each_heading_is_there_once():
    edition = editions.one_language(files.read_notebook(files.notebooks()[0]), "en")
    prose = [c.source for c in edition.cells if c.cell_type == "markdown"]
    headings = [line for text in prose for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == len(set(headings)) > 5


def test_a_set_up_cell_that_could_not_speak_is_refused():
    notebook = new_notebook(cells=[code("import d2lhelpers", tags=["imports"])])
    with pytest.raises(ValueError, match="import d2lhelpers as d2l"):
        editions.one_language(notebook, "en")


def test_pictures_are_described_in_one_language():
    described = {"lang": "en", "describes": "image"}
    notebook = new_notebook(
        cells=[
            code("a", displayed("image/svg+xml", SVG)),
            code("b", displayed("image/jpeg", "AA=="), alt={"zh": ["乙"], "en": ["bee"]}),
            code(
                "c",
                displayed("image/png", "AA==", **{"image/png": {"alt": "丙\nsea"}}),
                new_output(
                    "display_data", {"text/plain": "丙"}, metadata={**described, "lang": "zh"}
                ),
                new_output("display_data", {"text/plain": "sea"}, metadata=described),
            ),
        ]
    )
    a, b, c = editions.one_language(notebook, "en").cells
    assert a.outputs[0].metadata["image/svg+xml"]["alt"] == "disc & dot"
    assert "圆" not in a.outputs[0].data["image/svg+xml"]
    assert a.outputs[0].data["text/plain"] == "disc & dot"
    assert b.outputs[0].metadata["image/jpeg"]["alt"] == "bee" and "alt" not in b.metadata
    assert c.outputs[0].metadata["image/png"]["alt"] == "sea" and len(c.outputs) == 2


def test_picture_files_become_part_of_the_notebook(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "dot.png").write_bytes(PIXEL)
    source = '![a dot](img/dot.png) <img src="img/dot.png" alt="b"> ![c](https://x.org/c.png)'
    (found,) = editions.one_language(new_notebook(cells=[cell(source)]), "en", tmp_path).cells
    assert found.source == (
        '![a dot](attachment:img-dot.png) <img src="attachment:img-dot.png" alt="b"> '
        "![c](https://x.org/c.png)"
    )
    assert base64.b64decode(found.attachments["img-dot.png"]["image/png"]) == PIXEL
    with pytest.raises(ValueError, match=r"lost\.png"):
        editions.one_language(new_notebook(cells=[cell("![](lost.png)")]), "en", tmp_path)


@pytest.mark.parametrize("minor", range(5))
def test_notebooks_without_cell_ids(minor):
    notebook = new_notebook(
        cells=[cell("# 一", "zh"), cell("# One", "en"), code("1", new_output("stream", text="1"))]
    )
    for each in notebook.cells:
        del each["id"]
    notebook.nbformat_minor = minor
    read = nbformat.reads(nbformat.writes(notebook, version=nbformat.NO_CONVERT), as_version=4)
    ids = []
    for language in ("zh", "en"):
        edition = editions.one_language(read, language)
        nbformat.validate(edition)
        ids.append([each.id for each in edition.cells])
    assert ids[0] == ids[1] and len(ids[0]) == 2


def test_unknown_language():
    with pytest.raises(ValueError, match="no edition in 'fr'; there are: zh, en"):
        editions.one_language(new_notebook(), "fr")


def test_lab_opens_the_bilingual_notebooks_or_an_edition(
    course, tmp_path, monkeypatch, both_languages_after
):
    opened = []
    monkeypatch.setattr("jupyterlab.labapp.main", lambda arguments: opened.append(arguments[0]))
    for variable in ("D2L_DATA", "D2L_RUNS", "D2L_BUILD"):
        monkeypatch.setenv(variable, variable.lower())
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 0 and not (tmp_path / "work").exists()
    assert main(["lab", "en"]) == 0 and (tmp_path / "work" / "en" / "01_one.ipynb").exists()
    assert opened == [str(tmp_path / "notebooks"), str(tmp_path / "work" / "en")]
    # Its kernels work elsewhere, and have the command's folders all the same.
    assert os.environ["D2L_DATA"] == str(tmp_path / "d2l_data")
    assert os.environ["D2L_RUNS"] == str(tmp_path / "d2l_runs")
