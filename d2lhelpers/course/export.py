"""A static site that needs no network: the course's chapters in one language, and what leads there.

``editions`` makes notebooks in one language, ``pages`` a chapter out of one, and the templates in
``templates/course`` the pages around them.
"""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from .._paths import write_atomically
from ..say import LANGUAGES
from .editions import one_language
from .notebooks import notebooks, read_notebook
from .pages import TEMPLATES, Chapter, make_chapter
from .prose import plain_text, to_html
from .results import chapter_of, headline_cells, headlines
from .stamp import colab_link, repository
from .words import WORDS

SCRIPTS = ("course.js", "predict.js", "search.js")


def export(language: str, folder: Path) -> list[Path]:
    """Write one language's notebooks and pages; returns the paths written.

    Args:
        language: "zh" or "en".
        folder: of the site; the edition goes into its subfolder named after the language. Links
            to the other language lead to the subfolder beside it.

    Raises:
        ValueError: the course has no such language, or its address is no address.
    """
    import nbformat

    target = folder / language
    chapters, files = [], {}
    for path in notebooks():
        edition = one_language(read_notebook(path), language, path.parent)
        files[target / path.name] = nbformat.writes(edition)
        chapters.append(make_chapter(path.stem, edition, language))
    shared = _shared(language, chapters)
    files[target / "index.html"] = _home(chapters, shared)
    for number, chapter in enumerate(chapters):
        preview = _preview(chapter, language, shared["site"])
        if preview:
            files[target / f"{chapter.name}.png"] = chapter.preview
        files[target / f"{chapter.name}.html"] = _template("chapter.html.j2").render(
            shared,
            page=chapter.name,
            title=chapter.title,
            description=plain_text(to_html(chapter.summary)[0]),
            chapter=chapter,
            previous=chapters[number - 1] if number else None,
            next=chapters[number + 1] if number + 1 < len(chapters) else None,
            links=_links(chapter.name, shared["address"]),
            preview=preview,
        )
    root = {"words": WORDS, "languages": LANGUAGES}
    root |= {key: shared[key] for key in ("style", "preview")}
    files[folder / "index.html"] = _template("entrance.html.j2").render(root)
    # A missing page's address may be of any depth, and relative links would lead astray.
    base = urlsplit(shared["site"]).path
    files[folder / "404.html"] = _template("404.html.j2").render(root, base=base)
    target.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        data = text if isinstance(text, bytes) else text.encode()
        write_atomically(path, lambda partial, data=data: partial.write_bytes(data))
    return list(files)


def _shared(language: str, chapters: list[Chapter]) -> dict[str, object]:
    """What all pages of a language have in common."""
    (other,) = LANGUAGES.keys() - {language}
    address = repository()
    site = _site(address)
    return {
        "words": WORDS[language],
        "language": language,
        "other": {"code": other, "name": LANGUAGES[other], "language": WORDS[other]["language"]},
        "chapters": chapters,
        "address": address,
        "site": site,
        "preview": _preview(chapters[0], language, site) if chapters else "",
        "style": _style(),
        "script": "\n".join(f"{{\n{_asset(name)}}}" for name in SCRIPTS),
        "index": _packed([[c.name, c.title, c.sections] for c in chapters]),
    }


def _packed(index: list) -> str:
    """JSON, deflated, in base64: half the size in the page."""
    data = json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _links(name: str, address: str) -> dict[str, str]:
    """Where a published chapter can be run and viewed."""
    if not address:
        return {}
    view = f"{address}/blob/main/notebooks/{name}.ipynb"
    return {"colab": colab_link(f"{name}.ipynb", address), "view": view}


def _site(address: str) -> str:
    """Where the course is published; beside a link elsewhere, relative addresses will not do."""
    if not address:
        return ""
    owner, name = address.split("/")[-2:]
    return f"https://{owner}.github.io/{name}/"


def _preview(chapter: Chapter, language: str, site: str) -> str:
    """The address of the picture beside a link to the chapter."""
    return f"{site}{language}/{chapter.name}.png" if site and chapter.preview else ""


def _home(chapters: list[Chapter], shared: dict[str, object]) -> str:
    """The page that lists the chapters and the results."""
    titles = {chapter.name: chapter.title for chapter in chapters}
    table = [
        (chapter := chapter_of(runs[0]), titles.get(chapter, chapter), headline_cells(runs))
        for runs in headlines()
    ]
    return _template("home.html.j2").render(
        shared,
        page="index",
        title=shared["words"]["course"],
        description=shared["words"]["about"],
        table=table,
    )


def _style() -> str:
    """The pages' style, with the font of formulas in it."""
    font = base64.b64encode((TEMPLATES / "course" / "maths.woff2").read_bytes()).decode()
    return _asset("style.css").replace("maths.woff2", f"data:font/woff2;base64,{font}")


def _asset(name: str) -> str:
    return (TEMPLATES / "course" / name).read_text(encoding="utf-8")


def _template(name: str):
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(TEMPLATES / "course"), autoescape=True)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.filters["prose"] = lambda markdown: to_html(markdown)[0]
    return environment.get_template(name)
