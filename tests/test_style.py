"""The style of figures touches nothing else, and a notebook shows each of them once."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import pytest

import d2lhelpers as d2l


@pytest.fixture(autouse=True)
def no_figure_is_left():
    settings_before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == settings_before


def test_importing_does_not_import_matplotlib():
    import subprocess

    code = "import sys, d2lhelpers; sys.exit('matplotlib' in sys.modules)"
    folder = d2l.__file__.rsplit("d2lhelpers", 1)[0]
    assert subprocess.run([sys.executable, "-c", code], cwd=folder).returncode == 0


def test_a_notebook_shows_every_figure_once():
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "import torch\nimport d2lhelpers as d2l\nprint(d2l.is_interactive())",
        "d2l.show_images(torch.rand(2, 3, 8, 8));",
        "d2l.show_images(torch.rand(2, 3, 8, 8));",
        "d2l.plot_confusion(torch.eye(2).long(), ['cat', 'dog']);",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = d2l.__file__.rsplit("d2lhelpers", 1)[0]
    client = NotebookClient(notebook, resources={"metadata": {"path": folder}})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)
        patch.delenv("JPY_SESSION_NAME", raising=False)
        client.execute()
    first, *others = (cell.outputs for cell in notebook.cells)
    assert first[0].text == "False\n"
    assert [[output.output_type for output in outputs] for outputs in others] == [
        ["display_data"]
    ] * 3


def test_style_for_plots_of_ones_own():
    with plt.rc_context():
        d2l.use_style()
        _, axes = plt.subplots()
        (line,) = axes.plot([0, 1])
        assert line.get_color() == "#0072B2" and axes.title.get_fontsize() == 9
