"""A chapter in one language as HTML: what is folded, what is hidden until it is predicted."""

from __future__ import annotations

import itertools
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..exercises import EXERCISES
from .editions import FOLDED, tags_of
from .notebooks import EXERCISE
from .pictures import first_png, picture_address, picture_kind
from .prose import Heading, plain_text, to_html
from .stamp import BADGE
from .words import WORDS

if TYPE_CHECKING:
    import nbformat
    from nbconvert.exporters import HTMLExporter

TEMPLATES = Path(__file__).with_name("templates")
_VERDICT = re.compile(r"\s*([✓✗?])\s+(?:([^:：\n]{1,24})[:：]\s*)?(.*)", re.S)


class Chapter(NamedTuple):
    """A chapter's page without its frame.

    ``sections`` has the text of each heading's section, for the search; ``preview`` is the first
    stored PNG, b"" where there is none.
    """

    name: str
    title: str
    summary: str
    headings: list[Heading]
    sections: list[tuple[str, str, str]]
    html: str
    preview: bytes


def make_chapter(name: str, edition: nbformat.NotebookNode, language: str) -> Chapter:
    """The page of a chapter.

    Args:
        name: of the notebook's file, without its suffix.
        edition: the notebook in one language; each cell gets ``metadata.page``.
        language: "zh" or "en".
    """
    headings: list[Heading] = []
    for cell in edition.cells:
        anchor = re.sub(f"-{language}$", "-text", cell.id)
        page: dict[str, object] = {"anchor": anchor}
        if cell.cell_type == "markdown":
            page["html"], found = to_html(
                _without_badge(cell.source),
                anchor,
                cell.get("attachments"),
                WORDS[language]["link"],
            )
            page["headings"] = found
            headings += found
        elif cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if "describes" not in o.get("metadata", {})]
            page["folded"] = bool(FOLDED & tags_of(cell)) or any(map(_is_verdict, cell.outputs))
            if EXERCISE in tags_of(cell):
                page["exercise"] = _exercise(cell.source, language)
        cell.metadata["page"] = page
    preview = first_png(edition.cells)
    _fold_setup(edition.cells)
    _hide_until_predicted(edition.cells)
    exporter = _exporter(language)
    html, _ = exporter.from_notebook_node(edition, {"words": WORDS[language]})
    title, *paragraphs = edition.cells[0].source.split("\n\n")
    return Chapter(
        name,
        to_html(title, "t")[1][0].text,
        _summary(paragraphs),
        headings[1:],
        list(_sections(edition.cells)),
        html,
        preview,
    )


def _without_badge(markdown: str) -> str:
    """The page has a row of its own for what Colab's badge does."""
    return "\n\n".join(part for part in markdown.split("\n\n") if BADGE not in part)


def _summary(paragraphs: list[str]) -> str:
    """The first paragraph, with the list that it announces."""
    announces = bool(paragraphs) and paragraphs[0].endswith((":", "："))
    return "\n\n".join(paragraphs[: 1 + announces])


def _sections(cells: list[nbformat.NotebookNode]):
    """Place, heading and text of each section; code is not searched."""
    place, heading, texts = "", "", []
    for cell in cells:
        if cell.cell_type != "markdown":
            continue
        page = cell.metadata.page
        parts = re.split(r"^(?=<h\d)", page.get("before", "") + page["html"], flags=re.M)
        found = iter(page["headings"])
        for part in parts:
            if part.startswith("<h"):
                if heading:
                    yield place, heading, " ".join(texts).strip()
                _, heading, place = next(found)
                part, texts = part.partition("</h")[2].partition(">")[2], []
            text = re.sub(r"<pre.*?</pre>", " ", part, flags=re.S)
            texts.append(" ".join(plain_text(text).split()))
    if heading:
        yield place, heading, " ".join(texts).strip()


def _fold_setup(cells: list[nbformat.NotebookNode]) -> None:
    """Fold what stands between the title and the first section, but for pictures."""
    before = itertools.takewhile(lambda cell: not cell.metadata.page.get("headings"), cells[1:])
    for is_picture, group in itertools.groupby(before, _shows_picture):
        run = list(group)
        code = [number for number, cell in enumerate(run) if cell.cell_type == "code"]
        if is_picture:
            for cell in run:
                cell.metadata.page["folded"] = True
        elif code:
            run[code[0]].metadata.page["opens"] = True
            run[code[-1]].metadata.page["closes"] = True


def _shows_picture(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "code" and any(map(picture_kind, cell.outputs))


def _hide_until_predicted(cells: list[nbformat.NotebookNode]) -> None:
    """Mark what follows a cell tagged ``predict``: outputs up to the last verdict, and findings."""
    for number, cell in enumerate(cells):
        if "predict" not in tags_of(cell):
            continue
        about = list(
            itertools.takewhile(lambda each: not _ends_experiment(each), cells[number + 1 :])
        )
        verdicts = [i for i, each in enumerate(about) if _has_verdict(each)]
        if not verdicts:  # nothing to predict in what is stored
            continue
        page = cell.metadata.page
        page["predict"] = True
        page["before"], page["html"] = _after_heading(page["html"])
        for i, each in enumerate(about):
            outcome = each.cell_type == "code" and i <= verdicts[-1]
            if outcome or "finding" in tags_of(each):
                each.metadata.page["prediction"] = page["anchor"]


def _after_heading(html: str) -> tuple[str, str]:
    """A cell's HTML up to its last heading, which stands like any other, and what follows."""
    end = html.rfind("</h")
    cut = html.index(">", end) + 1 if end >= 0 else 0
    return html[:cut], html[cut:]


def _ends_experiment(cell: nbformat.NotebookNode) -> bool:
    return "predict" in tags_of(cell) or bool(cell.metadata.page.get("headings"))


def _has_verdict(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "code" and any(map(_is_verdict, cell.outputs))


def _is_verdict(output: nbformat.NotebookNode) -> bool:
    data = output.get("data", {})
    return bool(_VERDICT.match(data.get("text/markdown", data.get("text/plain", ""))))


def _exercise(source: str, language: str) -> dict[str, str] | None:
    """Hint, code and thought of the exercise that the cell checks, if it is one of the course's."""
    number = re.search(r"""\bcheck\(\s*["']([\d.]+)["']""", source)
    exercise = EXERCISES.get(number[1]) if number else None
    if exercise is None:
        return None
    return {
        "hint": to_html(getattr(exercise.hint, language))[0],
        "code": exercise.code,
        "why": to_html(getattr(exercise.why, language))[0],
    }


@cache
def _exporter(language: str) -> HTMLExporter:
    """nbconvert's exporter with the course's template."""
    from nbconvert.exporters import HTMLExporter
    from nbconvert.filters import ansi2html

    def said(text: str) -> str:
        """An output's Markdown; a verdict becomes a card with icon and word."""
        verdict = _VERDICT.fullmatch(text)
        if verdict is None:
            return to_html(text)[0]
        mark, word, rest = verdict.groups()
        word = word or WORDS[language]["marks"][mark]
        return (
            f'<div class="verdict" data-mark="{mark}"><span class="mark" aria-hidden="true">{mark}'
            f"</span><div><strong>{escape(word)}</strong>\n{to_html(rest)[0]}</div></div>"
        )

    def printed(text: str) -> str:
        is_verdict = _VERDICT.fullmatch(text)
        return said(text) if is_verdict else f'<pre tabindex="0">{ansi2html(text)}</pre>'

    def picture(output: nbformat.NotebookNode, kind: str) -> str:
        about = output.metadata.get(kind, {})
        width = f' width="{about["width"]}"' if "width" in about else ""
        source = picture_address(output.data[kind], kind)
        # Drawings of the course bring their own colours for the dark; a chart is drawn on white.
        white = kind == "image/svg+xml" and "prefers-color-scheme" not in output.data[kind]
        chart = ' class="chart"' if white else ""
        return f'<img src="{source}" alt="{escape(about.get("alt", ""))}"{width}{chart}>'

    exporter = HTMLExporter(
        template_name="course",
        extra_template_basedirs=[str(TEMPLATES)],
        filters={"said": said, "printed": printed, "picture": picture},
    )
    exporter.register_preprocessor("nbconvert.preprocessors.CoalesceStreamsPreprocessor", True)
    return exporter
