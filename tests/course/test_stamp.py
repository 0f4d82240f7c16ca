"""The course's address: in one place, and stamped alike into every notebook and the README."""

import copy
import re

import pytest

from d2lhelpers.__main__ import main
from d2lhelpers.course import notebooks as files
from d2lhelpers.course import stamp

ADDRESS = "https://github.com/someone/cnn-course"
README = stamp.project_folder() / "README.md"
chapters = pytest.mark.parametrize("path", files.notebooks(), ids=lambda path: path.stem)


def texts(notebook):
    """All but the outputs, whose images would make a comparison that fails unreadable."""
    return [cell.source for cell in notebook.cells], notebook.metadata


@chapters
def test_notebook_is_stamped_with_the_address_of_the_project(path):
    notebook = files.read_notebook(path)
    again = stamp.stamped_notebook(notebook, path.name, stamp.repository())
    assert texts(again) == texts(notebook)


def test_readme_is_stamped_with_the_address_of_the_project():
    text = README.read_text(encoding="utf-8")
    assert stamp.stamped_readme(text, stamp.repository()) == text


@chapters
def test_stamp_goes_in_and_comes_out(path):
    notebook = files.read_notebook(path)
    before = stamp.stamped_notebook(notebook, path.name, "")
    stamped = stamp.stamped_notebook(before, path.name, ADDRESS)
    link = (
        "https://colab.research.google.com/github/someone/cnn-course/blob/main/notebooks/"
        + path.name
    )
    assert all(cell.source.endswith(f"]({link})") for cell in stamped.cells[:2])
    setup = files.cell_with_tag(stamped, "imports").source
    assert f'COURSE_URL = "git+{ADDRESS}"' in setup
    compile(setup, path.name, "exec")
    assert files.outputs_are_current(stamped) == files.outputs_are_current(notebook)
    again = stamp.stamped_notebook(stamped, path.name, ADDRESS)
    assert texts(again) == texts(stamped)
    assert texts(stamp.stamped_notebook(stamped, path.name, "")) == texts(before)


def test_stamp_leaves_other_cells_alone():
    path = files.notebooks()[0]
    notebook = files.read_notebook(path)
    stamped = stamp.stamped_notebook(notebook, path.name, ADDRESS)
    changed = [
        a.id for a, b in zip(notebook.cells, stamped.cells, strict=True) if a.source != b.source
    ]
    assert changed == ["title-zh", "title-en", files.cell_with_tag(notebook, "imports").id]


def test_an_earlier_form_of_the_lines_is_replaced():
    path = files.notebooks()[0]
    notebook = stamp.stamped_notebook(files.read_notebook(path), path.name, "")
    older = copy.deepcopy(notebook)
    cell = files.cell_with_tag(older, "imports")
    cell.source = re.sub(
        r'(COURSE_URL = "")\n(?:.+\n)+', r"\1\nimport_somehow(check=True)\n", cell.source
    )
    assert texts(older) != texts(notebook)
    again = stamp.stamped_notebook(older, path.name, "")
    assert texts(again)[0] == texts(notebook)[0]


def test_a_setup_cell_of_another_make_is_refused():
    path = files.notebooks()[0]
    notebook = files.read_notebook(path)
    files.cell_with_tag(notebook, "imports").source = "import d2lhelpers as d2l"
    with pytest.raises(ValueError, match=r"01_lenet_mnist\.ipynb: the set-up cell should have one"):
        stamp.stamped_notebook(notebook, path.name, "")


def test_stamped_readme_has_install_line_and_a_badge_a_chapter():
    text = stamp.stamped_readme(README.read_text(encoding="utf-8"), ADDRESS)
    assert f"\n    pip install git+{ADDRESS}\n" in text
    assert len(re.findall(re.escape(stamp.BADGE), text)) == len(files.notebooks())
    assert stamp.stamped_readme(text, "") != text


@pytest.fixture
def project(tmp_path, move_project):
    (tmp_path / "notebooks").mkdir()
    for path in files.notebooks()[:2]:
        (tmp_path / "notebooks" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "README.md").write_bytes(README.read_bytes())
    move_project(tmp_path)

    def publish_at(address):
        text = f'[tool.d2lhelpers]\nrepository = "{address}"\n'
        (tmp_path / "pyproject.toml").write_text(text)

    return publish_at


def test_one_command_stamps_all(project, capsys):
    project(ADDRESS)
    assert main(["stamp"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"3 files now say {ADDRESS}"
    assert main(["stamp"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"0 files now say {ADDRESS}"
    project("")
    assert main(["stamp"]) == 0
    assert capsys.readouterr().out.startswith("3 files now say that the course is not published")


@pytest.mark.parametrize(
    "address", ["https://example.org/course", "github.com/a/b", "https://github.com/a/b.git"]
)
def test_only_an_address_that_colab_opens(project, address, capsys):
    project(address)
    assert main(["stamp"]) == 2
    said = capsys.readouterr().err
    assert address in said and "留空" in said
