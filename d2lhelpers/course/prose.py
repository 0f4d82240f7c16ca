"""Markdown to HTML: headings with places to link to, formulas as MathML, pictures inlined."""

import re
from functools import cache
from html import escape, unescape
from typing import NamedTuple

from .formulas import formula


class Heading(NamedTuple):
    """A heading of a page: its level, its text without marks, and its id."""

    level: int
    text: str
    place: str


@cache
def _renderer() -> type:
    """The class of renderers; nbconvert takes its time to import."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer

    class Renderer(IPythonRenderer):
        def __init__(self, anchor: str, attachments: dict | None, link: str):
            super().__init__(escape=False, attachments=attachments)
            self.anchor, self.link_name = anchor, link
            self.headings: list[Heading] = []

        def heading(self, text, level, **attrs):
            place = f"{self.anchor}-{len(self.headings) + 1}"
            self.headings.append(Heading(level, plain_text(text), place))
            if not self.anchor:
                return f"<p><strong>{text}</strong></p>\n"  # of an output: no part of the outline
            link = f'<a class="anchor" href="#{place}" aria-label="{escape(self.link_name)}"></a>'
            return f'<h{level} id="{place}">{text}{link if level > 1 else ""}</h{level}>\n'

        def block_code(self, code, info=None):
            return super().block_code(code, info).replace("<pre>", '<pre tabindex="0">', 1)

        def block_math(self, body):
            return f'<span class="formula" tabindex="0">{formula(body, block=True)}</span>'

        def inline_math(self, body):
            return formula(body)

        def latex_environment(self, name, body):
            if not name.startswith("equation"):  # which says no more than that it is a block
                body = f"\\begin{{{name}}}{body}\\end{{{name}}}"
            return self.block_math(body)

        def image(self, text, url, title=None):
            # No picture from elsewhere, such as Colab's badge: its text stands for it.
            return text if "//" in url else super().image(text, url, title)

        def block_html(self, html):
            return super().block_html(self._inline_pictures(html))

        def inline_html(self, html):
            return super().inline_html(self._inline_pictures(html))

        def _inline_pictures(self, html):
            def inline(tag):
                url = re.search(r"""\bsrc=["']([^"']*)["']""", tag[0])
                if url is None or "//" in url[1]:
                    alternative = re.search(r"""\balt=["']([^"']*)["']""", tag[0])
                    return alternative[1] if alternative else ""
                return tag[0].replace(url[1], self._embed_image_or_attachment(url[1]))

            return re.sub(r"<img\b[^>]*>", inline, html)

    return Renderer


def to_html(
    markdown: str, anchor: str = "", attachments: dict | None = None, link: str = ""
) -> tuple[str, list[Heading]]:
    """Markdown as HTML, and its headings.

    Args:
        markdown: the source.
        anchor: beginning of the headings' ids; without one they are no headings of the page.
        attachments: pictures that belong to the cell, as a notebook has them.
        link: what a heading's link to itself is called.
    """
    from nbconvert.filters.markdown_mistune import MarkdownWithMath

    renderer = _renderer()(anchor, attachments, link)
    html = MarkdownWithMath(renderer=renderer).render(markdown)
    return _TIED.sub(_tie, html), renderer.headings


_TIED = re.compile(r"([(\[（“]*)(<math\b.*?</math>)([,.;:!?)\]”，。；：！？、）]*)", re.S)


def _tie(match: re.Match) -> str:
    """A formula with the punctuation at its sides, which does not go to another line alone."""
    return f'<span class="tie">{match[0]}</span>' if match[1] or match[3] else match[0]


def plain_text(html: str) -> str:
    """HTML without its tags."""
    return unescape(re.sub(r"<[^>]+>", "", html)).strip()
