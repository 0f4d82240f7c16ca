"""Pictures in a notebook: what describes them, and files that become part of it."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import mimetypes
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..say import LANGUAGES, Text

if TYPE_CHECKING:
    import nbformat

KINDS = ("image/svg+xml", "image/png", "image/jpeg")

_FILE = re.compile(
    r"""(!\[[^\]]*\]\(|<img\b[^>]*?\bsrc=["'])"""  # Markdown's or HTML's picture, up to its address
    r"""(?![^)"'\s]*:)([^)"'\s]+)"""  # a file: an address with a colon is elsewhere, or attached
)
_OTHER_QUOTES = str.maketrans("\"'", "'\"")
_UNESCAPED = " =:;/,()'>{}"
_TITLE = re.compile(r"<title(?: lang=\"(\w+)\")?[^>]*>(.*?)</title>", re.S)


def picture_kind(output: nbformat.NotebookNode) -> str | None:
    """The type of the picture that an output is shown as, None where it is none."""
    data = output.get("data", {})
    return None if "text/html" in data else next((kind for kind in KINDS if kind in data), None)


def images_of(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cell's outputs that are pictures, in order, without those that come described.

    An SVG with a title describes itself; other pictures may be followed by a description.
    """
    return [
        output
        for output, following in itertools.pairwise([*cell.outputs, None])
        if picture_kind(output) and not _titles(output) and not _is_description(following)
    ]


def describe_images(cell: nbformat.NotebookNode, language: str) -> None:
    """Give each picture its alternative text in this language, where there is one.

    It comes from the SVG's title, from the description that follows, or from ``metadata.alt`` of
    the cell, which has a list for each language and is taken away.
    """
    texts = cell.metadata.pop("alt", {}).get(language, [])
    images = images_of(cell)
    if texts and images:  # a chapter not yet run in full has none
        for output, text in zip(images, texts, strict=True):
            _metadata(output)["alt"] = text
    for output, following in itertools.pairwise([*cell.outputs, None]):
        if titles := _titles(output):
            _metadata(output)["alt"] = titles.get(language) or titles.get(None, "")
            if language in titles:  # what is shown where no SVG is, as in an untrusted notebook
                output.data["text/plain"] = titles[language]
            output.data["image/svg+xml"] = _TITLE.sub(
                lambda title: "" if title[1] in LANGUAGES.keys() - {language} else title[0],
                output.data["image/svg+xml"],
            )
        elif picture_kind(output) and _is_description(following):
            _metadata(output)["alt"] = following.data["text/plain"]


def first_png(cells: Iterable[nbformat.NotebookNode]) -> bytes:
    """The first PNG among the cells' outputs, b"" where there is none."""
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    found = (output.data["image/png"] for output in outputs if picture_kind(output) == "image/png")
    return base64.b64decode(next(found, ""))


def picture_address(data: str, kind: str) -> str:
    """A stored picture as an address that holds all of it, in as few bytes as look the same."""
    if kind == "image/svg+xml":
        # As an image of its own: its ids and styles stay apart from the page's. Hundredths of a
        # point are finer than a screen; spaces between elements show nothing.
        data = re.sub(r">\s+<", "><", data)
        data = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), data)
        # Double quotes are the commonest of what an address must escape; single ones need not be.
        data = re.sub(r"<[^>]*>", lambda tag: tag[0].translate(_OTHER_QUOTES), data)
        return f"data:{kind},{quote(data, safe=_UNESCAPED)}".replace("\n", " ")
    if kind == "image/png":
        with contextlib.suppress(OSError, ValueError):  # what is no PNG is the browser's affair
            kind, data = "image/webp", _as_webp(data)
    return f"data:{kind};base64,{''.join(data.split())}"


def _as_webp(png: str) -> str:
    """The same pixels in about a third of the bytes."""
    from PIL import Image  # matplotlib needs it, so it is there

    with Image.open(io.BytesIO(base64.b64decode(png))) as image, io.BytesIO() as file:
        image.save(file, "WEBP", lossless=True)
        return base64.b64encode(file.getvalue()).decode()


def attach_pictures(cell: nbformat.NotebookNode, folder: Path) -> None:
    """Make the picture files that a Markdown cell shows part of the cell.

    Raises:
        ValueError: there is no such file in ``folder``.
    """

    def attach(match: re.Match) -> str:
        path = folder / match[2]
        if not path.is_file():
            raise ValueError(
                Text(
                    zh=f"单元格 {cell.id} 要显示 {match[2]}，可是没有文件 {path}。",
                    en=f"cell {cell.id} shows {match[2]}, and there is no file {path}.",
                )
            )
        name = match[2].replace("/", "-")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        data = base64.b64encode(path.read_bytes()).decode()
        cell.setdefault("attachments", {})[name] = {kind: data}
        return f"{match[1]}attachment:{name}"

    cell.source = _FILE.sub(attach, cell.source)


def _metadata(output: nbformat.NotebookNode) -> dict:
    return output.metadata.setdefault(picture_kind(output), {})


def _is_description(output: nbformat.NotebookNode | None) -> bool:
    return output is not None and "describes" in output.get("metadata", {})


def _titles(output: nbformat.NotebookNode) -> dict[str | None, str]:
    """The titles inside an SVG by language, None for one that does not say it."""
    if picture_kind(output) != "image/svg+xml":
        return {}
    return {code or None: unescape(t) for code, t in _TITLE.findall(output.data["image/svg+xml"])}
