"""The style of figures touches nothing else, and a notebook shows each of them once."""

import sys
from base64 import b64decode

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figures import CLASSES, DATA, assert_is_tidy, history, raw, texts_of

import d2lhelpers as d2l
from d2lhelpers._style import COLOURS

pytestmark = pytest.mark.usefixtures("no_figure_is_left")


def test_importing_does_not_import_matplotlib():
    import subprocess

    code = "import sys, d2lhelpers; sys.exit('matplotlib' in sys.modules)"
    folder = d2l.__file__.rsplit("d2lhelpers", 1)[0]
    assert subprocess.run([sys.executable, "-c", code], cwd=folder).returncode == 0


@pytest.fixture(scope="module")
def shown():
    """The outputs of a notebook's cells that show figures, by the cells' code."""
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "import torch\nimport d2lhelpers as d2l\nfrom d2lhelpers.say import is_interactive\n"
        "is_interactive()",
        "d2l.show_images(torch.rand(2, 3, 8, 8), [1, 2])",
        "d2l.show_images(torch.rand(2, 3, 8, 8));",
        "for n in (2, 3):\n    d2l.plot_confusion(torch.ones(n, n).int(), 'abc'[:n], title='<T>')",
        "d2l.use_language('en')\nd2l.show_filters(torch.ones(2, 1, 2, 2))",
        "import matplotlib.pyplot as plt\nd2l.show_images(torch.rand(2, 3, 8, 8))\n"
        "display(plt.gcf())",
        "d2l.use_style()\nd2l.show_images(torch.rand(2, 3, 8, 8))\nplt.subplots()[1].plot([1, 2]);",
        "d2l.plot_confusion(torch.ones(3, 3).int(), 'abc')",
        "d2l.draw_network(torch.nn.Linear(4, 2), (4,))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = d2l.__file__.rsplit("d2lhelpers", 1)[0]
    client = NotebookClient(notebook, resources={"metadata": {"path": folder}})
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("MPLBACKEND", "JPY_SESSION_NAME", "D2L_LANGUAGE"):
            patch.delenv(variable, raising=False)
        client.execute()
    return [cell.outputs for cell in notebook.cells]


def is_image(output):
    return "image/png" in output.get("data", {})


def test_a_notebook_shows_every_figure_once_and_echoes_nothing(shown):
    first, *others, _ = shown
    assert first[0].data["text/plain"] == "False"
    kinds = {output.output_type for outputs in others for output in outputs}
    assert kinds == {"display_data"}
    assert [sum(map(is_image, outputs)) for outputs in others] == [1, 1, 2, 1, 2, 2, 1]


def test_a_screen_reader_hears_what_each_figure_shows(shown):
    """JupyterLab drops an image's own alternative text, so a paragraph follows the image."""
    _, labelled, _, two, english, *_, drawn = shown
    image, zh, en = labelled
    assert "2 images, in order: 1, 2." in en.data["text/html"]
    assert "2 张图像，依次是 1、2。" in zh.data["text/html"]
    assert (zh.metadata.lang, en.metadata.lang) == ("zh", "en")
    both = f"{zh.data['text/plain']}\n{en.data['text/plain']}"
    assert image.metadata["image/png"]["alt"] == both
    assert [is_image(output) for output in two] == [True, False, False] * 2
    assert "&lt;T&gt;" in two[1].data["text/html"]
    assert [output.metadata.get("lang") for output in english] == [None, "en"]
    drawing, words = drawn
    assert "image/svg+xml" in drawing.data and "10 parameters" in words.data["text/html"]


def test_figures_are_sharp(shown):
    """Charts as SVG, with a PNG for whoever shows none; photographs with twice the points."""
    photographs, chart = filter(is_image, shown[-3])
    assert photographs.data.keys() == {"image/png", "text/plain"}
    about, data = photographs.metadata["image/png"], b64decode(photographs.data["image/png"])
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    assert (width, height) == pytest.approx((2 * about["width"], 2 * about["height"]), abs=1)
    assert chart.data["image/svg+xml"].startswith("<?xml") and "image/png" in chart.data
    assert "<dc:date>" not in chart.data["image/svg+xml"]


@pytest.fixture(params=[False, True], ids=["matplotlib's", "the course's"])
def style(request):
    with plt.rc_context():
        if request.param:
            d2l.use_style()
        yield


def test_figures_are_tidy_in_either_style(style):
    d2l.show_images(raw(16), [0] * 16, [1] * 16, data=DATA, title="A title " * 9)
    assert_is_tidy(plt.gcf())
    captions = [ax.title.get_window_extent() for ax in plt.gcf().axes]
    assert not any(a.overlaps(b) for i, a in enumerate(captions) for b in captions[:i])
    d2l.plot_history({"a": history(), "b": history()}, title="T")
    assert_is_tidy(plt.gcf())
    d2l.plot_confusion(np.eye(10, dtype=int) * 900, CLASSES)
    assert_is_tidy(plt.gcf())


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("setting", ["font.sans-serif", "font.family"])
def test_a_chosen_font_is_used(setting, before):
    """As a Chinese one would be; this one comes with matplotlib and lacks the sign ✗."""
    from matplotlib.font_manager import fontManager

    with plt.rc_context():
        if not before:
            d2l.use_style()
        plt.rcParams[setting] = ["DejaVu Serif"]
        if before:
            d2l.use_style()
        _, axes = plt.subplots()
        axes.set_title("own")
        d2l.show_images(raw(2), [1, 2], [1, 3], title="T")
        texts = [axes.title, *(text for text in texts_of(plt.gcf()))]
        chosen = [fontManager._find_fonts_by_props(t.get_fontproperties())[0] for t in texts]
        assert all("DejaVuSerif" in str(font) for font in chosen)
        assert_is_tidy(plt.gcf())  # no sign is missing either


def test_logarithmic_axes_have_plain_ticks():
    with plt.rc_context():
        d2l.use_style()
        figure, ax = plt.subplots()
        ax.loglog([0.01, 100], [40, 500])
        figure.canvas.draw()
        texts = [
            tick.get_text() for tick in ax.get_xticklabels() + ax.get_yticklabels(which="both")
        ]
        assert any("{0.01}" in text for text in texts) and any("{60}" in text for text in texts)
        assert not [text for text in texts if "^" in text]
        plt.close(figure)


def test_style_for_plots_of_ones_own():
    with plt.rc_context():
        d2l.use_style()
        _, axes = plt.subplots()
        lines = [line for _ in COLOURS for line in axes.plot([0, 1])]
        assert [line.get_color() for line in lines] == list(COLOURS)  # those of the course's charts
        assert "DejaVuSans" in plt.matplotlib.font_manager.findfont(axes.title.get_fontproperties())
