"""A chapter's page: any output that a notebook may hold, folds, cards, predictions, formulas."""

import base64
import io
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from d2lhelpers.course import pages
from d2lhelpers.course.formulas import formula
from d2lhelpers.course.pictures import picture_address
from d2lhelpers.course.prose import to_html

TITLE = new_markdown_cell("# Title\n\nSummary.", id="title-en")


def page_of(*cells):
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return pages.make_chapter("x", new_notebook(cells=[TITLE.copy(), *cells]), "en")


def parse(*cells):
    return BeautifulSoup(page_of(*cells).html, "html.parser")


def text(source, *tags):
    return new_markdown_cell(source, metadata={"tags": list(tags)})


def code(*outputs, source="1", tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def shown(**data):
    data = {kind.replace("_", "/").replace("svg", "svg+xml"): value for kind, value in data.items()}
    return new_output("display_data", data | {"text/plain": "plain"})


def said(line):
    return new_output("display_data", {"text/plain": line, "text/markdown": line})


# ------------------------------------------------------------------------------------- outputs


def test_svg_is_a_picture_of_its_own():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg"><style>a>b{}</style><text id="text">10% “#”</text>'
    )
    (image,) = parse(text("## A"), code(shown(image_svg=svg))).select(".output > img")
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/svg+xml" and "#" not in data
    assert unquote(data) == svg.replace('"', "'")


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_pictures_of_pixels(kind):
    output = shown(**{f"image_{kind}": "AAAA\nBBBB\n"})
    output.metadata[f"image/{kind}"] = {"alt": 'a "quoted" <text>'}
    (image,) = parse(text("## A"), code(output)).select(".output > img")
    assert image["src"] == f"data:image/{kind};base64,AAAABBBB"
    assert image["alt"] == 'a "quoted" <text>'


@pytest.mark.parametrize(
    "latex", [r"$\frac{1}{2}$", r"$$\frac{1}{2}$$", r"\begin{equation}\frac{1}{2}\end{equation}"]
)
def test_latex_outputs_are_formulas(latex):
    block = parse(text("## A"), code(shown(text_latex=latex))).select_one(".output")
    assert block.select_one("math mfrac") and not re.search(r"[\\$]", block.get_text())


def test_html_outputs_keep_their_script():
    html = '<div id="app"></div><script>if (1 < 2 && "</p>") run();</script>'
    assert html in page_of(text("## A"), code(shown(text_html=html))).html


def test_errors_are_shown():
    error = new_output("error", ename="E", evalue="v", traceback=["\x1b[31mE\x1b[0m: v"])
    assert "E: v" in parse(text("## A"), code(error)).select_one(".output").get_text()


def test_a_picture_s_description_is_its_alternative_text_and_not_said_twice():
    image = shown(image_png="AAAA")
    image.metadata["image/png"] = {"alt": "a dot"}
    description = new_output("display_data", {"text/plain": "a dot"}, metadata={"describes": "i"})
    block = parse(text("## A"), code(image, description)).select_one(".output")
    assert block.img["alt"] == "a dot" and block.get_text().strip() == ""


def test_pictures_lose_bytes_but_nothing_that_can_be_seen():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8).repeat(40, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    png = base64.b64encode(file.getvalue()).decode()
    address = picture_address(png, "image/png")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        assert (np.asarray(image) == pixels).all() and len(address) < len(png)
    svg = '<svg width="9">\n  <path d="M 1.234567 20"/>\n  <text>0.12345</text>\n</svg>'
    address = unquote(picture_address(svg, "image/svg+xml"))
    assert "<svg width='9'><path d='M 1.23 20'/><text>0.12345</text></svg>" in address


def test_a_picture_s_quotes_stay_apart():
    svg = """<svg><text style='font-family: "A B"'>a net's "5 &amp; 6"</text></svg>"""
    (image,) = parse(text("## A"), code(shown(image_svg=svg))).select(".output > img")
    (drawn,) = ElementTree.fromstring(unquote(image["src"].partition(",")[2]))
    assert drawn.get("style") == "font-family: 'A B'" and drawn.text == 'a net\'s "5 & 6"'


# ---------------------------------------------------------------------------------------- text


def test_pasted_pictures():
    cell = text('![a dot](attachment:dot.png) <img src="attachment:dot.png" alt="b">')
    cell.attachments = {"dot.png": {"image/png": "AAAA"}}
    images = parse(cell).select("img")
    assert [image["src"] for image in images] == ["data:image/png;base64,AAAA"] * 2
    assert [image["alt"] for image in images] == ["a dot", "b"]


def test_pictures_from_elsewhere_become_their_text():
    found = parse(text('![one](https://x.org/a.png) <img src="https://x.org/b.png" alt="two">'))
    assert not found.select("img") and {"one", "two"} <= set(found.get_text().split())


def test_comments_in_code_are_no_headings():
    chapter = page_of(
        text("## A\n\n```python\n# no\n## heading\n```\n\n    # nor this\n\n### B `c`")
    )
    assert [(h.level, h.text) for h in chapter.headings] == [(2, "A"), (3, "B c")]
    found = BeautifulSoup(chapter.html, "html.parser")
    assert [found.find(id=h.place).get_text() for h in chapter.headings] == ["A", "B c"]


def test_search_index_has_every_section_and_no_code():
    chapter = page_of(
        text("## A\n\nfirst $x$"), text("second `word`\n\n    code\n\n### B\n\nthird")
    )
    assert [(heading, text) for _, heading, text in chapter.sections] == [
        ("Title", "Summary."),
        ("A", "first x second word"),
        ("B", "third"),
    ]
    assert {place for place, *_ in chapter.sections[1:]} == {h.place for h in chapter.headings}


# ----------------------------------------------------------------------------- folds and cards


def test_what_comes_before_the_first_section_is_folded_except_pictures():
    found = parse(
        code(tags=["imports"]),
        code(shown(image_png="AAAA"), tags=["hide-input"]),
        text("These settings …"),
        code(tags=["parameters"]),
        text("## A"),
        code(),
    )
    folded = [[cell["id"] for cell in fold.select(".cell")] for fold in found.select(".setup")]
    assert folded == [["cell-0"], ["cell-3"]]
    assert found.select_one("#cell-1 > details .input") and found.select_one("#cell-1 > .output")


def test_plumbing_is_folded_and_its_output_is_not():
    found = parse(text("## A"), code(shown(), tags=["hide-input"]))
    assert found.select_one("details.source .input") and found.select_one(".cell > .output")


@pytest.mark.parametrize(
    ("line", "mark", "word", "rest"),
    [
        ("✓ Holds: A is 2: 1 more.", "✓", "Holds", "A is 2: 1 more."),
        ("✗ 不成立：甲大于乙。", "✗", "不成立", "甲大于乙。"),
        ("? a 0.98 > b 0.97", "?", "Cannot tell", "a 0.98 > b 0.97"),
    ],
)
def test_verdicts_are_cards_and_their_code_is_folded(line, mark, word, rest):
    found = parse(text("## A"), code(said(line)))
    card = found.select_one(".output > .verdict")
    assert card["data-mark"] == mark and card.strong.get_text() == word
    assert card.p.get_text() == rest
    assert found.select_one("details.source .input")


def test_what_is_no_verdict_is_no_card():
    found = parse(text("## A"), code(said("Accuracy: 0.98."), said("?! ✓ later")))
    assert not found.select(".verdict") and not found.select("details.source")


def test_exercises_have_hint_and_solution():
    found = parse(text("## A"), code(source='d2l.check("1.3", corr2d)', tags=["exercise"]))
    hint, solution = found.select("details.help")
    assert hint.p and "def corr2d" in solution.pre.get_text() and solution.find_all("p")
    assert not parse(text("## A"), code(source="own = 1", tags=["exercise"])).select("details")


# --------------------------------------------------------------------------------- predictions


def test_outputs_and_finding_belong_to_the_prediction():
    found = parse(
        text("## A"),
        text("Predict.", "predict"),
        code(shown(image_png="AAAA")),
        text("How to read it."),
        code(said("✓ Holds: yes.")),
        text("It held since …", "finding"),
        code(said("✗ Does not hold: no.")),
        text("It did not since …", "finding"),
        text("More."),
        code(said("1")),
        text("## B"),
        text("Predict.", "predict"),
        code(said("? Cannot tell: no.")),
        text("### C"),
        text("Predict, with nothing stored to be hidden.", "predict"),
        code(),
    )
    assert [cell["id"] for cell in found.select(".predict")] == ["cell-1", "cell-11"]
    about = {cell["id"]: cell["data-prediction"] for cell in found.select("[data-prediction]")}
    assert about == dict.fromkeys(("cell-2", *(f"cell-{n}" for n in range(4, 8))), "cell-1") | {
        "cell-12": "cell-11"
    }
    marks = [button["data-mark"] for button in found.select("#cell-1 button")]
    assert marks == ["✓", "✗", "?", ""]


def test_a_heading_stands_outside_the_prediction():
    chapter = page_of(
        text("What came out.\n\n## Next\n\nA claim. Predict.", "predict"),
        code(said("✓ Holds: yes.")),
    )
    box = BeautifulSoup(chapter.html, "html.parser").select_one(".predict")
    assert "A claim." in box.get_text() and "What came out." not in box.get_text()
    assert box.find_previous_sibling().select_one("h2").get_text().startswith("Next")
    assert [(section[1], section[2]) for section in chapter.sections][-1] == (
        "Next",
        "A claim. Predict.",
    )


# ------------------------------------------------------------------------------------ formulas


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\lfloor x \rfloor", '<mo stretchy="false" form="prefix">⌊</mo>'),
        (r"\mathrm{ReLU}(x)", "<mi>ReLU</mi>"),
        (r"2\ln x", '<mn>2</mn><mspace width="0.167em" /><mi>ln</mi><mspace width="0.167em" />'),
        ("x = -2", '<mo form="prefix">−</mo>'),
        ("f(x) - 2", "<mo>−</mo>"),
        (r"\max(0, z)", '<mi>max</mi><mo stretchy="false">('),
        (r"\sum_{i} x", '<munder><mo movablelimits="true">∑</mo>'),
        ("f'(x)", '<mi>f</mi><mo lspace="0" rspace="0">′</mo>'),
        ("a/b", '<mo lspace="0" rspace="0">/</mo>'),
        (r"\begin{aligned}a&=b\\c&=d\end{aligned}", "<mtable"),
        (r"\begin{bmatrix}a\end{bmatrix} \star b", "<mo>]</mo></mrow><mo>⋆</mo>"),
        (r"b \star \begin{bmatrix}a\end{bmatrix}", "<mo>⋆</mo><mrow><mo>[</mo>"),
        (r"\left(", "<code>"),  # it cannot be converted, and is shown as it was written
    ],
)
def test_formulas_are_set_as_tex_would(latex, expected):
    assert expected in formula(latex)


@pytest.mark.parametrize("source", ["($x$) a", "see $x$, a", "看 $x$。"])
def test_punctuation_stays_with_its_formula(source):
    tied = BeautifulSoup(to_html(source)[0], "html.parser").select_one(".tie").get_text()
    assert tied in ("(x)", "x,", "x。")


def test_the_font_of_formulas_is_inlined_and_licensed():
    folder = pages.TEMPLATES / "course"
    data = (folder / "maths.woff2").read_bytes()
    assert data[:4] == b"wOF2" and len(base64.b64encode(data)) < 60_000
    assert "SIL OPEN FONT LICENSE" in (folder / "maths-LICENSE.txt").read_text(encoding="utf-8")
