"""Editions in one language: nothing lost, nothing of the other one, nothing from elsewhere."""

import copy
import functools
import itertools
import re

import nbformat
import pytest
from bs4 import BeautifulSoup

from d2lhelpers.course import editions, export, stamp
from d2lhelpers.course import notebooks as files
from d2lhelpers.course.results import chapter_of, headlines
from d2lhelpers.results import deviation, mean_accuracy

HAN = r"[\u4e00-\u9fff]"
OTHER = {"zh": "en", "en": "zh"}
NAMES = [path.stem for path in files.notebooks()]


@functools.cache
def read_page(site, language, name):
    html = (site / language / f"{name}.html").read_text("utf-8")
    small = re.sub(r'(src="data:image/[^,]+,)[^"]+', r"\1", html)  # parsing takes its time
    return BeautifulSoup(small, "html.parser")


pages = pytest.mark.parametrize("name", NAMES)
languages = pytest.mark.parametrize("language", OTHER)


@languages
def test_every_chapter_is_there(site, language):
    found = {path.name for path in (site / language).iterdir()}
    expected = {f"{name}.{kind}" for name in NAMES for kind in ("html", "ipynb")}
    assert found == expected | {"index.html"}


@languages
@pages
def test_notebook_in_one_language(site, language, name):
    edition = nbformat.read(site / language / f"{name}.ipynb", as_version=4)
    nbformat.validate(edition)
    whole = files.read_notebook(files.notebooks()[NAMES.index(name)])
    kept = [c for c in whole.cells if OTHER[language] not in c.metadata.get("tags", [])]
    speak = f'\nd2l.use_language("{language}")'
    assert [cell.source.replace(speak, "") for cell in edition.cells] == [c.source for c in kept]
    assert sum(speak in cell.source for cell in edition.cells) == 1
    assert not [cell.id for cell in edition.cells if "page" in cell.metadata]
    for cell, original in zip(edition.cells, kept, strict=True):
        if cell.cell_type == "code":
            of_other = [
                o for o in original.outputs if o.get("metadata", {}).get("lang") == OTHER[language]
            ]
            assert len(cell.outputs) == len(original.outputs) - len(of_other)


@pages
def test_english_page_has_no_chinese(site, name):
    page = copy.copy(read_page(site, "en", name))
    page.select_one("a.switch").extract()
    for code in page.select(".input"):
        code.extract()  # the set-up cell explains itself in both languages
    assert not re.search(HAN, page.get_text())


@languages
@pages
def test_page_says_its_language_and_has_one_title(site, language, name):
    page = read_page(site, language, name)
    assert page.html["lang"] == {"zh": "zh-CN", "en": "en"}[language]
    assert len(page.select("h1")) == 1 and page.title.text == page.h1.text
    description = page.select_one("meta[name=description]")["content"]
    assert len(description) > 8 and not re.search(r"[$`<]|[:：]$", description)
    assert page.select_one("meta[property='og:title']")["content"] == page.title.text
    others = {link["hreflang"] for link in page.select("link[rel=alternate]")}
    assert others == {"zh-CN", "en"}
    levels = [int(tag.name[1]) for tag in page.select("h1, h2, h3, h4")]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


@languages
@pytest.mark.parametrize("name", [*NAMES, "index"])
def test_page_needs_nothing_from_elsewhere(site, language, name):
    page = read_page(site, language, name)
    assert page.select("iframe, object, script[src]") == []
    assert all(image["src"].startswith("data:image/") for image in page.select("img"))
    assert page.select_one("link[rel=icon]")["href"].startswith("data:image/svg+xml,")
    assert {link["rel"][0] for link in page.select("link")} == {"icon", "alternate"}
    style = "".join(style.text for style in page.select("style"))
    assert not re.search(r"url\((?!data:)|@import", style)


@languages
@pages
def test_every_image_is_described(site, language, name):
    images = read_page(site, language, name).select("img")
    assert images
    for image in images:
        assert len(image["alt"]) > 8 and bool(re.search(HAN, image["alt"])) == (language == "zh")


@languages
@pages
def test_formulas_are_drawn_by_the_browser(site, language, name):
    page = read_page(site, language, name)
    edition = nbformat.read(site / language / f"{name}.ipynb", as_version=4)
    formulas = [
        formula
        for cell in edition.cells
        if cell.cell_type == "markdown"
        for formula in re.findall(
            r"\$\$.+?\$\$|\$[^$\n]+\$", re.sub(r"`[^`\n]*`", "", cell.source), re.S
        )
    ]
    assert len(page.main.select("math")) == len(formulas)
    text = copy.copy(page.main)
    for code in text.select("code, pre"):
        code.extract()
    assert "$" not in text.get_text() and "\\" not in text.get_text()


@languages
@pages
def test_every_output_is_shown(site, language, name):
    edition = nbformat.read(site / language / f"{name}.ipynb", as_version=4)
    cells = [cell for cell in edition.cells if cell.cell_type == "code"]
    blocks = read_page(site, language, name).select("main div.cell.code")
    for block, cell in zip(blocks, cells, strict=True):
        shown = block.select(".output > *")
        outputs = [o for o in cell.outputs if "describes" not in o.get("metadata", {})]
        kinds = [key for key, _ in itertools.groupby(outputs, lambda o: o.get("name", id(o)))]
        assert len(shown) >= len(kinds), cell.id  # what was printed in several goes is one block


@languages
@pytest.mark.parametrize("name", [*NAMES, "index"])
def test_links_inside_the_site_lead_somewhere(site, language, name):
    page = read_page(site, language, name)
    for link in page.select("a[href], link[rel=alternate]"):
        target, _, anchor = link["href"].partition("#")
        if "//" in target:
            continue
        path = site / language / (target or f"{name}.html")
        assert path.exists(), link
        if anchor:
            assert read_page(site, language, path.stem).find(id=anchor), link


@pages
def test_both_languages_have_the_same_places(site, name):
    places = [
        [cell["id"] for cell in read_page(site, language, name).select("main .cell")]
        for language in OTHER
    ]
    assert places[0] == places[1] and len(places[0]) == len(set(places[0]))


@languages
@pages
def test_a_page_is_light(site, name, language):
    assert (site / language / f"{name}.html").stat().st_size <= 1_000_000


@pages
@languages
def test_an_address_in_a_page_is_one_place(site, name, language):
    """A cell may be called anything, such as "search"; a page's own places have other names."""
    ids = [tag["id"] for tag in read_page(site, language, name).select("[id]")]
    assert len(ids) == len(set(ids))


@languages
def test_chapters_are_chained(site, language):
    for number, name in enumerate(NAMES):
        page = read_page(site, language, name)
        before, after = (page.select_one(f"footer a[rel={rel}]") for rel in ("prev", "next"))
        expected = NAMES[number - 1] if number else None
        assert (before and before["href"]) == (expected and f"{expected}.html")
        expected = NAMES[number + 1] if number + 1 < len(NAMES) else None
        assert (after and after["href"]) == (expected and f"{expected}.html")


@languages
@pages
def test_contents_list_every_heading(site, language, name):
    page = read_page(site, language, name)
    headings = [tag.get_text().strip() for tag in page.select("main h2, main h3")]
    links = page.select(".contents a")
    assert [link.get_text().strip() for link in links] == headings
    for link in links:
        place = page.find(id=link["href"].removeprefix("#"))
        assert place.get_text().strip() == link.get_text().strip()


@languages
def test_index_has_the_chapters_and_the_results(site, language):
    page = read_page(site, language, "index")
    assert [link["href"] for link in page.select(".chapters a")] == [f"{n}.html" for n in NAMES]
    rows = [[cell.get_text() for cell in row.select("td")] for row in page.select("tbody tr")]
    links = [link["href"] for link in page.select("tbody th a")]
    assert links == [f"{chapter_of(runs[0])}.html" for runs in headlines()]
    for row, runs in zip(rows, headlines(), strict=True):
        assert f"{mean_accuracy(runs):.4f} ± {deviation(runs):.4f}" in row


def test_first_page_offers_both_languages(site):
    page = BeautifulSoup((site / "index.html").read_text("utf-8"), "html.parser")
    assert [link["href"] for link in page.select("a")] == ["zh/index.html", "en/index.html"]


def test_the_notebook_itself_stays_as_it_was():
    notebook = files.read_notebook(files.notebooks()[0])
    before = nbformat.writes(notebook)
    editions.one_language(notebook, "zh")
    assert nbformat.writes(notebook) == before


def test_a_published_chapter_can_be_run_and_viewed_and_needs_no_badge(tmp_path, monkeypatch):
    path, address = files.notebooks()[0], "https://github.com/someone/course"
    stamped = stamp.stamped_notebook(files.read_notebook(path), path.name, address)
    monkeypatch.setattr(export, "notebooks", lambda: [path])
    monkeypatch.setattr(export, "read_notebook", lambda _: stamped)
    monkeypatch.setattr(export, "repository", lambda: address)
    export.export("en", tmp_path)
    page = read_page(tmp_path, "en", path.stem)
    assert all(image["src"].startswith("data:") for image in page.select("img"))
    colab = stamp.colab_link(path.name, address)
    assert [link["href"] for link in page.find_all("a") if "colab" in link["href"]] == [colab]
    assert page.find("a", href=f"{address}/blob/main/notebooks/{path.name}")
    site, place = "https://someone.github.io/course/", f"en/{path.stem}.html"
    assert page.find("meta", property="og:url")["content"] == site + place
    assert page.find("link", hreflang="en", rel="alternate")["href"] == site + place
    entrance = BeautifulSoup((tmp_path / "index.html").read_text("utf-8"), "html.parser")
    for each in (page, read_page(tmp_path, "en", "index"), entrance):
        preview = each.find("meta", property="og:image")["content"]
        assert preview == f"{site}en/{path.stem}.png"
    assert (tmp_path / "en" / f"{path.stem}.png").read_bytes().startswith(b"\x89PNG")
    missing = BeautifulSoup((tmp_path / "404.html").read_text("utf-8"), "html.parser")
    assert {link["href"] for link in missing.select("a")} == {
        "/course/zh/index.html",
        "/course/en/index.html",
    }
