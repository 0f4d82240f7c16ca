"""What a reader sees, in a real browser: JupyterLab, the exported pages, TensorBoard.

These tests need Chromium (Debian: apt-get install chromium) and no network.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
import tensorboard.manager
import torch
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import expect, sync_playwright
from torch import nn

import d2lhelpers as d2l
from d2lhelpers.course import export, run
from d2lhelpers.course import notebooks as files
from d2lhelpers.course.parameters import assignments, quick_parameters
from d2lhelpers.course.words import WORDS
from d2lhelpers.say import LANGUAGES

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason="no Chromium here; Debian: apt-get install chromium"
    ),
]
NAMES = [path.stem for path in files.notebooks()]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # Containers run as root, where Chromium's sandbox does not start.
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page that notes what the console says and whom it asks for anything."""
    page = browser.new_page()
    page.errors, page.hosts = [], set()
    page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.hosts.add(re.match(r"\w+:(//[^/]*)?", request.url)[0]))
    yield page
    page.close()


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


class Server:
    """A server in a process of its own, until the block ends."""

    def __init__(self, arguments, url, log, **environment):
        self.arguments, self.url, self.log = arguments, url, log
        # With pytest's variable d2lhelpers would take the reader for a test and draw no bars.
        own = {k: v for k, v in os.environ.items() if k != "PYTEST_VERSION"}
        self.environment = own | environment

    def __enter__(self):
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                direct.open(self.url, timeout=5).close()
                return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)


# --------------------------------------------------------------------------------- JupyterLab


def quick_copy(folder):
    """Chapter 1 without outputs, its parameters those of a quick run."""
    notebook = files.read_notebook(files.notebooks()[0])
    parameters = files.cell_with_tag(notebook, "parameters")
    given = {"TRAIN_SIZE": 500, "TEST_SIZE": 200, "EPOCHS": 1}
    quick = quick_parameters(notebook, run.source_at_hand(), given)
    parameters.source += "\n" + assignments(quick.parameters)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = folder / "chapter.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def no_board_left(tmp_path):
    """The chapter's last cell opens TensorBoard, a server that outlives its kernel."""
    yield
    for info in tensorboard.manager.get_all():
        if str(tmp_path) in info.logdir:
            os.kill(info.pid, signal.SIGTERM)


def test_jupyterlab_runs_a_chapter(page, tmp_path, no_board_left):
    path, token, port = quick_copy(tmp_path), secrets.token_hex(8), free_port()
    settings = tmp_path / "settings" / "@jupyterlab"
    (settings / "notebook-extension").mkdir(parents=True)
    (settings / "notebook-extension" / "tracker.jupyterlab-settings").write_text(
        json.dumps({"windowingMode": "none"})  # keep cells out of sight in the page
    )
    (settings / "apputils-extension").mkdir()
    (settings / "apputils-extension" / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    lab = ["jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    lab += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={tmp_path}"]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "D2L_BATCH": "",
        "D2L_RUNS": str(tmp_path / "runs"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
    }
    with Server(lab, f"{url}/api?token={token}", tmp_path / "lab.log", **environment):
        page.set_viewport_size({"width": 1300, "height": 900})
        page.goto(f"{url}/lab/tree/{path.name}?token={token}")
        expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible(timeout=60_000)
        # Run All before there is a kernel opens a dialog that asks for one: wait, and else answer.
        ready = page.get_by_role("button", name=re.compile(r"^(?!No Kernel).+ \| Idle$"))
        expect(ready).to_be_visible(timeout=60_000)
        page.add_locator_handler(
            page.get_by_role("button", name="Select Kernel"), lambda button: button.click()
        )
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        cells = files.read_notebook(path).cells
        count = sum(cell.cell_type == "code" for cell in cells)
        finished = page.get_by_text(f"[{count}]:", exact=True)
        failed = page.locator(".jp-RenderedText[data-mime-type*=stderr]")  # errors as well
        expect(finished.or_(failed).first).to_be_attached(timeout=180_000)
        assert failed.all_inner_texts() == []
        page.keyboard.press("Control+s")
        headline = page.locator(".jp-CodeCell", has_text="history = d2l.train(").first
        expect(headline.locator(".progress-bar-success")).to_have_count(1)
        expect(headline.locator(".progress-bar")).to_have_count(1)
        bars = page.locator(".jp-OutputArea .progress-bar").count()
        expect(page.locator(".jp-OutputArea .progress-bar-success")).to_have_count(bars)
        assert failed.all_inner_texts() == []
        expect(page.locator(".d2l-live-stage")).to_be_visible()
        answer = page.locator(".d2l-live-answer")
        page.locator(".d2l-live-clear").click()
        expect(answer).to_be_empty()
        page.locator(".d2l-live-presets button").nth(4).press("Enter")
        expect(answer).to_contain_text(re.compile(r"after training: \d"))
        headline.scroll_into_view_if_needed()
        page.screenshot(path=files.build_folder() / "browser-jupyterlab.png")
        for _ in range(100):
            saved = files.read_notebook(path)
            if all(c.execution_count for c in saved.cells if c.cell_type == "code"):
                break
            time.sleep(0.1)
    outputs = {c.id: c.outputs for c in saved.cells if c.cell_type == "code"}
    stored = {c.id: c for c in files.lesson_cells(files.read_notebook(files.notebooks()[0]))}
    assert not [i for i, made in outputs.items() if any(o.output_type == "error" for o in made)]
    for i, cell in stored.items():
        figures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        assert len([o for o in outputs[i] if "image/png" in o.get("data", {})]) == len(figures), i


# ------------------------------------------------------------------------- the exported pages


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["index", *NAMES])
def test_page_is_whole_readable_and_accessible(page, site, language, name):
    page.goto((site / language / f"{name}.html").as_uri())
    assert page.errors == [] and page.hosts <= {"file://", "data:"}
    broken = "[...document.images].filter(i => !i.complete || i.naturalWidth == 0).length"
    assert page.evaluate(broken) == 0
    for telling in page.locator(".choices .quiet").all():
        telling.click()
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert serious_findings(page) == []
    page.get_by_role("button", name=WORDS[language]["theme"]).click()
    filters = "[...document.querySelectorAll('.chart')].map(i => getComputedStyle(i).filter)"
    assert all(drawn.startswith("invert") for drawn in page.evaluate(filters))
    assert page.locator("html").get_attribute("data-theme") == "dark"
    if language == "en":  # colours are the style sheet's, the same in both
        assert serious_findings(page, runOnly=["color-contrast"]) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def serious_findings(page, **options):
    options["resultTypes"] = ["violations"]  # to list all that is well takes most of the time
    found = Axe().run(page, options=options).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    return [(v["id"], v["nodes"][0]["html"][:200]) for v in serious]


def test_formulas_need_no_font_of_the_reader_s(page, site):
    page.goto((site / "en" / "index.html").as_uri())
    letters = set()
    for name in NAMES:
        html = (site / "en" / f"{name}.html").read_text(encoding="utf-8")
        for math in BeautifulSoup(html, "html.parser").select("math"):
            letters |= set(math.get_text()) - set(" \n")
    letters = "".join(sorted(letters))
    page.evaluate(
        "letters => document.body.innerHTML = `<math><mi>${letters}</mi></math>`", letters
    )
    devtools = page.context.new_cdp_session(page)
    for domain in ("DOM", "CSS"):
        devtools.send(f"{domain}.enable")
    root = devtools.send("DOM.getDocument")["root"]["nodeId"]
    node = devtools.send("DOM.querySelector", {"nodeId": root, "selector": "mi"})
    fonts = devtools.send("CSS.getPlatformFontsForNode", node)["fonts"]
    assert [font["familyName"] for font in fonts] == ["Course Maths"] and "⋆" in letters


@pytest.mark.parametrize("name", ["index", "404"])
def test_the_site_s_own_pages_are_accessible(page, site, name):
    page.goto((site / f"{name}.html").as_uri())
    assert serious_findings(page) == [] and page.errors == []


def test_language_switch_leads_to_the_same_place(page, site):
    page.goto((site / "zh" / f"{NAMES[0]}.html").as_uri())
    places = page.evaluate("[...document.querySelectorAll('.cell')].map(e => e.id)")
    middle = places[len(places) // 2]
    page.evaluate("id => document.getElementById(id).scrollIntoView()", middle)
    # Playwright's own click would scroll to where the sticky header stands in the page.
    page.get_by_role("link", name="English", exact=True).dispatch_event("click")
    expect(page).to_have_url(re.compile(f"/en/{NAMES[0]}.html#{middle}$"))
    assert page.locator("html").get_attribute("lang") == "en"
    page.wait_for_function(
        """id => {
            const top = document.getElementById(id).getBoundingClientRect().top;
            return document.readyState == "complete" && top >= 0 && top < 200;
        }""",
        arg=middle,
    )
    assert page.errors == []


def test_contents_and_subject_on_a_phone(page, site):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((site / "en" / f"{NAMES[0]}.html").as_uri())
    contents = page.locator("#page-contents")
    expect(contents).not_to_be_visible()
    assert page.locator("main h2").first.bounding_box()["y"] < 844
    page.get_by_role("button", name="Contents").click()
    expect(contents).to_be_visible()
    last = contents.locator(".contents a").last
    last.click()
    expect(contents).not_to_be_visible()
    expect(last).to_have_attribute("aria-current", "location")
    heading = page.locator(last.get_attribute("href"))
    expect(heading).to_be_in_viewport()


def test_contents_mark_the_section_that_is_read(page, site):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto((site / "en" / f"{NAMES[0]}.html").as_uri())
    links = page.locator("#page-contents .contents a")
    expect(page.locator("#page-contents [aria-current=location]")).to_have_count(0)
    for number in (3, 1):
        place = links.nth(number).get_attribute("href")
        page.evaluate("id => document.querySelector(id).scrollIntoView()", place)
        expect(links.nth(number)).to_have_attribute("aria-current", "location")
        expect(page.locator("#page-contents [aria-current=location]")).to_have_count(1)
    page.goto((site / "en" / "index.html").as_uri())  # which knows what has been read
    last = page.locator(".go-on a")
    expect(last).to_have_attribute("href", f"{NAMES[0]}.html{place}")


def test_search_by_keyboard(page, site):
    page.goto((site / "zh" / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("过拟合")
    first = page.locator("#page-search li a").first
    expect(first).to_contain_text("过拟合")
    target = first.get_attribute("href")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(target) + "$"))
    expect(page.locator(f"#{target.partition('#')[2]}")).to_be_in_viewport()
    page.get_by_role("button", name="搜索").click()
    page.keyboard.type("qqqq")
    expect(page.locator("#page-search [role=status]")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(page.locator("#page-search")).not_to_be_visible()
    assert page.errors == []


def test_code_is_copied_without_its_button(page, site):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto((site / "en" / f"{NAMES[0]}.html").as_uri())
    block = page.locator("main > .cell > .input").first
    code = block.locator("pre").inner_text()
    block.hover()
    block.get_by_role("button").click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == code.strip()


def test_a_link_into_a_fold_opens_it(page, site):
    page.goto((site / "en" / f"{NAMES[0]}.html#parameters").as_uri().replace("%23", "#"))
    expect(page.locator("#parameters")).to_be_in_viewport()


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A site of one chapter with a prediction and a network that answers; its folder."""
    folder = tmp_path_factory.mktemp("experiment")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    data = d2l.load_mnist(20, train_size=20, test_size=100, source="synthetic")
    live = {"text/html": d2l.live(net, data)._repr_html_(), "text/plain": ""}
    verdict = {"text/markdown": "✗ Does not hold: no.", "text/plain": ""}
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\nSummary.", id="title-en"),
        nbformat.v4.new_markdown_cell("## A", id="a-en"),
        nbformat.v4.new_markdown_cell("Predict.", id="p-en", metadata={"tags": ["predict"]}),
        nbformat.v4.new_code_cell("1", id="v"),
        nbformat.v4.new_markdown_cell("The finding.", id="f-en", metadata={"tags": ["finding"]}),
        nbformat.v4.new_markdown_cell("## B", id="b-en"),
        nbformat.v4.new_code_cell("2", id="live"),
    ]
    for cell, shown in ((cells[3], verdict), (cells[6], live)):
        cell.outputs = [nbformat.v4.new_output("display_data", shown)]
    path = folder / "01_one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "notebooks", lambda: [path])
        export.export("en", folder)
    return folder


def test_verdict_and_finding_wait_for_the_prediction(page, experiment):
    url = (experiment / "en" / "01_one.html").as_uri()
    page.goto(url)
    verdict, finding = page.locator(".verdict"), page.get_by_text("The finding.")
    expect(verdict).not_to_be_visible()
    expect(finding).not_to_be_visible()
    page.emulate_media(media="print")
    expect(verdict).to_be_visible()
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Holds", exact=True).press("Enter")
    expect(verdict).to_be_visible()
    expect(finding).to_be_visible()
    expect(page.locator(".told")).to_contain_text(re.compile("✓.*✗"))
    page.reload()
    expect(verdict).to_be_visible()
    assert page.errors == []


def test_a_link_to_a_finding_shows_it(page, experiment):
    page.goto((experiment / "en" / "01_one.html").as_uri() + "#f-text")
    expect(page.get_by_text("The finding.")).to_be_in_viewport()


def test_without_scripts_or_storage_all_is_there(browser, experiment):
    url = (experiment / "en" / "01_one.html").as_uri()
    page = browser.new_page(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page.goto(url)
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.get_by_text("The finding.")).to_be_visible()
    expect(page.locator(".d2l-live-still")).to_be_visible()
    page.get_by_role("button", name="Contents").click()
    expect(page.locator("#page-contents")).to_be_visible()
    page.close()

    page = browser.new_page()
    forbidden = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"
    page.add_init_script(forbidden)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.get_by_role("button", name="Holds", exact=True).click()
    expect(page.get_by_text("The finding.")).to_be_visible()
    assert errors == []
    page.close()


def test_a_network_that_answers_does_so_on_the_page(page, experiment):
    page.goto((experiment / "en" / "01_one.html").as_uri())
    answer = page.locator(".d2l-live-answer")
    expect(answer).not_to_be_empty()
    page.get_by_role("button", name="Clear").click()
    expect(answer).to_be_empty()
    page.get_by_role("button", name=re.compile("4$")).press("Enter")
    expect(answer).to_contain_text(re.compile(r"after training: \d"))
    assert page.errors == [] and serious_findings(page) == []


# -------------------------------------------------------------------------------- TensorBoard


def test_tensorboard_lists_runs_and_draws_curves(page, tmp_path, monkeypatch):
    monkeypatch.setenv("D2L_RUNS", str(tmp_path / "runs"))
    data = d2l.load_mnist(32, train_size=64, test_size=32, source="synthetic")
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        d2l.train(net, data, epochs=3, lr=0.1, seed=seed, name="browser/linear/plain")
    port = free_port()
    board = ["tensorboard.main", "--logdir", str(tmp_path / "runs"), "--port", str(port)]
    with Server(board, f"http://127.0.0.1:{port}/", tmp_path / "board.log"):
        page.set_viewport_size({"width": 1300, "height": 900})
        page.goto(f"http://127.0.0.1:{port}/?forceSVG=true#timeseries")
        runs = [p.relative_to(tmp_path / "runs") for p in (tmp_path / "runs").glob("*/*/*/*")]
        assert len(runs) == 2
        for run in runs:
            expect(page.get_by_text(str(run)).first).to_be_visible(timeout=60_000)
        expect(page.locator("scalar-card").first).to_be_visible(timeout=60_000)
        lines = page.locator("scalar-card .series-view svg path[d*=L]")
        expect(lines.nth(1)).to_be_attached(timeout=60_000)
        page.wait_for_timeout(2000)
        page.screenshot(path=files.build_folder() / "browser-tensorboard.png")
