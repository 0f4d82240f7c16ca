"""Editions in one language: the notebooks, and a static site that needs no network.

The site stands on nbconvert, its templates in ``templates/course``. Formulas become MathML, which
browsers draw without a script or a font from elsewhere.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._paths import write_atomically
from ..say import LANGUAGES
from .notebooks import notebooks, read_notebook
from .results import headline_cells, headlines

if TYPE_CHECKING:
    import nbformat

TEMPLATES = Path(__file__).with_name("templates")

WORDS = {
    "zh": {
        "language": "zh-CN",
        "course": "卷积网络课程",
        "about": "从 MNIST 上的 LeNet 到 CIFAR-10 上的残差网络，每个说法都有实验检验。",
        "home": "目录",
        "contents": "本章内容",
        "previous": "上一章",
        "next": "下一章",
        "notebook": "下载笔记本",
        "chapters": "各章",
        "results": "结果",
        "skip": "跳到正文",
        "code": "代码",
        "output": "输出",
        "columns": ["章", "网络", "参数", "乘加", "轮", "测试准确率", "训练秒数", "数据"],
        "seeds": "测试准确率是几个随机种子的均值 ± 标准差，秒数取中位数；都来自完整运行。",
    },
    "en": {
        "language": "en",
        "course": "A course on convolutional networks",
        "about": "From LeNet on MNIST to residual networks on CIFAR-10, with every claim put to an "
        "experiment.",
        "home": "Contents",
        "contents": "In this chapter",
        "previous": "Previous",
        "next": "Next",
        "notebook": "Download the notebook",
        "chapters": "Chapters",
        "results": "Results",
        "skip": "Skip to the text",
        "code": "Code",
        "output": "Output",
        "columns": [
            "Chapter",
            "Network",
            "Parameters",
            "Multiply-adds",
            "Epochs",
            "Test accuracy",
            "Training time (s)",
            "Data",
        ],
        "seeds": "Test accuracy is the mean ± standard deviation over several seeds and the "
        "seconds are their median, all from full runs.",
    },
}


def one_language(notebook: nbformat.NotebookNode, language: str) -> nbformat.NotebookNode:
    """A copy with the text, outputs and alternative texts of one language only.

    Each cell gets ``metadata.anchor``, the same in both languages, for links from one edition to
    the other. Alternative texts, ``metadata.alt`` of a cell with a list for each language, go to
    the images that they describe.

    Args:
        notebook: of the course; left as it is.
        language: "zh" or "en".

    Raises:
        ValueError: the course has no such language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"no edition in {language!r}; there are: {', '.join(LANGUAGES)}")
    other = LANGUAGES.keys() - {language}
    edition = copy.deepcopy(notebook)
    edition.cells = [c for c in edition.cells if not other & set(c.metadata.get("tags", []))]
    for cell in edition.cells:
        cell.metadata["anchor"] = re.sub(f"-{language}$", "-text", cell.id)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if _language_of(o) not in other]
            texts, images = cell.metadata.pop("alt", {}).get(language, []), images_of(cell)
            if images:  # a chapter not yet run in full has none
                for output, text in zip(images, texts, strict=True):
                    output.metadata.setdefault("image/png", {})["alt"] = text
    return edition


def images_of(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cell's outputs that are images, in order."""
    return [output for output in cell.outputs if "image/png" in output.get("data", {})]


def _language_of(output: nbformat.NotebookNode) -> str | None:
    return output.get("metadata", {}).get("lang")


def export(language: str, folder: Path) -> list[Path]:
    """Write one language's notebooks and pages; returns the paths written.

    Args:
        language: "zh" or "en".
        folder: of the site; the edition goes into its subfolder named after the language. Links
            to the other language lead to the subfolder beside it.

    Raises:
        ValueError: the course has no such language.
    """
    import nbformat

    editions = [(path.stem, one_language(read_notebook(path), language)) for path in notebooks()]
    chapters = [{"name": name, **_heading(edition)} for name, edition in editions]
    words, other = WORDS[language], next(iter(LANGUAGES.keys() - {language}))
    shared = {
        "words": words,
        "other": {"code": other, "name": LANGUAGES[other], "language": WORDS[other]["language"]},
        "style": f"{_code_colours()}\n{_asset('style.css')}",
        "script": _asset("switch.js"),
    }
    target = folder / language
    target.mkdir(parents=True, exist_ok=True)
    pages = {target / "index.html": _home(chapters, shared)}
    for number, (name, edition) in enumerate(editions):
        neighbours = {
            "previous": chapters[number - 1] if number else None,
            "next": chapters[number + 1] if number + 1 < len(chapters) else None,
        }
        pages[target / f"{name}.ipynb"] = nbformat.writes(edition)
        pages[target / f"{name}.html"] = _page(
            edition, shared | neighbours | chapters[number] | {"contents": _contents(edition)}
        )
    pages[folder / "index.html"] = _entrance()
    for path, text in pages.items():
        write_atomically(path, lambda partial, text=text: partial.write_text(text, "utf-8"))
    return list(pages)


def _asset(name: str) -> str:
    return (TEMPLATES / "course" / name).read_text(encoding="utf-8")


def _code_colours() -> str:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="default").get_style_defs(".highlight")


def _heading(edition: nbformat.NotebookNode) -> dict[str, str]:
    """Title and first paragraph of a chapter."""
    title, summary = edition.cells[0].source.split("\n\n")[:2]
    return {"title": title.removeprefix("# "), "summary": summary}


def _contents(edition: nbformat.NotebookNode) -> list[dict[str, Any]]:
    """The headings below the title: level, text and anchor."""
    return [
        {"level": len(match[1]), "text": match[2], "anchor": f"{cell.metadata.anchor}-{number}"}
        for cell in edition.cells[1:]
        if cell.cell_type == "markdown"
        for number, match in enumerate(re.finditer(r"^(#+) (.+)$", cell.source, re.M), start=1)
    ]


def _page(edition: nbformat.NotebookNode, course: dict[str, Any]) -> str:
    """One chapter as a page of HTML that is complete in itself."""
    exporter = _exporter()(template_name="course", extra_template_basedirs=[str(TEMPLATES)])
    exporter.register_preprocessor("nbconvert.preprocessors.CoalesceStreamsPreprocessor", True)
    html, _ = exporter.from_notebook_node(edition, {"course": course})
    return html


def _exporter():
    """nbconvert's HTML exporter, with formulas in MathML and anchors from the cells' ids."""
    from jinja2 import pass_context
    from latex2mathml.converter import convert
    from nbconvert.exporters import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        anchor, headings = "", 0

        def heading(self, text, level, **attrs):
            self.headings += 1
            place = f' id="{self.anchor}-{self.headings}"' if self.anchor else ""
            return f"<h{level}{place}>{text}</h{level}>\n"

        def block_math(self, body):
            formula = convert(body.strip(), display="block")
            return f'<span class="formula" tabindex="0">{formula}</span>'

        def inline_math(self, body):
            return convert(body)

        def image(self, text, url, title=None):
            # No picture from elsewhere, such as Colab's badge: its text stands for it.
            return text if "//" in url else super().image(text, url, title)

    class CourseExporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context, source):
            renderer = Renderer(escape=False)
            cell = context.get("cell")
            renderer.anchor = cell.metadata.get("anchor", "") if cell else ""
            return MarkdownWithMath(renderer=renderer).render(source)

    return CourseExporter


def _home(chapters: list[dict[str, str]], shared: dict[str, Any]) -> str:
    """The page that lists the chapters and the results."""
    table = [[spread.chapter, *headline_cells(spread)] for spread in headlines()]
    return _template("home.html.j2").render(chapters=chapters, table=table, **shared)


def _entrance() -> str:
    """The site's first page: a choice of language."""
    return _template("entrance.html.j2").render(languages=LANGUAGES, words=WORDS)


def _template(name: str):
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(TEMPLATES / "course")
    return Environment(loader=loader, autoescape=True).get_template(name)
