"""The page's network is PyTorch's, it answers mouse, finger and keyboard, and asks nobody."""

import io
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import d2lhelpers as d2l
from d2lhelpers.course import notebooks as files

SCRIPT = Path(d2l.__file__).with_name("live.js").read_text("utf-8")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


# How a hand draws each digit on the pad of 224×224: strokes of corners (x, y).
STROKES = {
    "0": [[(112, 40), (70, 70), (60, 120), (75, 170), (112, 190), (150, 170), (165, 120),
           (150, 65), (112, 40)]],
    "1": [[(112, 35), (112, 190)]],
    "2": [[(65, 75), (80, 45), (115, 35), (150, 50), (155, 85), (130, 120), (90, 155), (60, 185),
           (165, 185)]],
    "3": [[(65, 50), (110, 35), (150, 55), (145, 90), (105, 108), (150, 125), (158, 160),
           (120, 190), (65, 178)]],
    "4": [[(80, 35), (60, 120), (165, 120)], [(140, 50), (135, 195)]],
    "5": [[(155, 40), (80, 40), (72, 100), (115, 92), (155, 115), (155, 160), (115, 190),
           (65, 178)]],
    "6": [[(140, 35), (95, 70), (68, 120), (70, 170), (110, 192), (150, 170), (150, 135),
           (115, 115), (75, 140)]],
    "7": [[(60, 45), (165, 45), (130, 110), (105, 190)]],
    "8": [[(112, 108), (70, 80), (75, 45), (112, 35), (150, 45), (150, 80), (112, 108), (70, 140),
           (70, 175), (112, 192), (155, 175), (155, 140), (112, 108)]],
    "9": [[(150, 75), (115, 98), (75, 85), (75, 50), (112, 35), (148, 48), (152, 80), (148, 130),
           (140, 192)]],
}  # fmt: skip


def write_page(html, path):
    """A page of this output alone; its address."""
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>'
    path.write_text(f"{head}<main>{html}</main></html>", "utf-8")
    return path.as_uri()


def chapter_1():
    """What chapter 1 has stored, which the exported page shows."""
    cells = files.read_notebook(files.notebooks()[0]).cells
    return next(cell for cell in cells if cell.id == "live").outputs[0].data["text/html"]


def every_layer():
    """Each kind of layer once, with strides, padding and windows that are not square."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, (5, 3), stride=(1, 2), padding=(2, 1)),
        nn.Tanh(),
        nn.AvgPool2d(3, stride=2, padding=1),
        nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.ReLU()),
        nn.MaxPool2d((3, 2), stride=1, padding=(1, 0)),
        nn.Flatten(),
        nn.Linear(6 * 12 * 4, 20),
        nn.Sigmoid(),
        nn.Linear(20, 10),
    )


@pytest.fixture(scope="module")
def data():
    return d2l.load_mnist(20, train_size=100, test_size=100, source="synthetic")


@pytest.fixture(scope="module")
def page(data, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    from playwright.sync_api import sync_playwright

    html = d2l.live(every_layer(), data, before=every_layer())._repr_html_()
    url = write_page(html, tmp_path_factory.mktemp("live") / "live.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(has_touch=True, viewport={"width": 800, "height": 900})
        page = context.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        yield page
        elsewhere = [url for url in asked if not url.startswith(("file:", "data:"))]
        assert elsewhere == [] and errors == []
        browser.close()


def answer(page):
    return page.locator(".d2l-live-answer").inner_text()


def test_scores_are_those_of_pytorch(page, data):
    X, _ = next(iter(data.test))
    pixels = data.test.dataset.images[:20].flatten(1).float() / 255
    found = page.evaluate(
        "(images) => images.map((p) => document.querySelector('.d2l-live').scores(p))",
        pixels.tolist(),
    )
    with torch.no_grad():
        expected = every_layer()(X)
    assert (torch.tensor(found) - expected).abs().max() < 1e-3


def test_mouse_finger_and_keyboard_are_answered(page):
    assert "after training" in answer(page) and "before training" in answer(page)
    pad = page.locator(".d2l-live-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()

    seen = "document.querySelector('.d2l-live-seen').toDataURL()"

    def changes(act):
        before = page.evaluate(seen)
        act()
        page.wait_for_function(f"(before) => {seen} !== before", arg=before)

    def stroke():
        page.mouse.move(box["x"] + 60, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 150, box["y"] + 180, steps=4)
        page.mouse.up()

    page.get_by_role("button", name="Clear").click()
    changes(stroke)
    changes(lambda: page.touchscreen.tap(box["x"] + 190, box["y"] + 30))
    page.get_by_role("button", name="example 4").focus()
    changes(lambda: page.keyboard.press("Enter"))


def test_all_that_a_frame_brings_is_answered_once(page):
    """Else the answers to a quick stroke would pile up on a slow computer."""
    answers = page.evaluate(
        """async () => {
        const pad = document.querySelector(".d2l-live-pad"), box = pad.getBoundingClientRect();
        const send = (kind, x) => pad.dispatchEvent(
          new PointerEvent(kind, { clientX: box.left + x, clientY: box.top + 9 }));
        const frame = () => new Promise(requestAnimationFrame);
        let count = 0;
        const observer = new MutationObserver((changes) => (count += changes.length));
        observer.observe(document.querySelector(".d2l-live-answer"), { childList: true });
        pad.setPointerCapture = () => {}; // such events have no pointer
        await frame();
        send("pointerdown", 20);
        for (let x = 21; x < 41; x++) send("pointermove", x);
        await frame();
        await frame();
        const first = count;
        send("pointermove", 60);
        send("pointerup", 60);
        await frame();
        await frame();
        delete pad.setPointerCapture;
        observer.disconnect();
        return [first, count];
        }"""
    )
    assert answers == [1, 2]


def test_clear_forgets_the_answer(page):
    shown = """() => [
        document.querySelector(".d2l-live-answer").textContent,
        [...document.querySelectorAll(".d2l-live meter")].filter((m) => m.value > 0).length,
        [...document.querySelectorAll(".d2l-live-seen, .d2l-live-maps canvas")].filter((c) => c
          .getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v)).length,
    ]"""
    page.get_by_role("button", name="example 4").click()
    answered = page.evaluate(shown)
    assert "after training" in answered[0] and answered[1] > 10 and answered[2] > 1
    page.get_by_role("button", name="Clear").click()
    assert page.evaluate(shown) == ["", 0, 0]


def test_a_stroke_does_not_overtake_an_example(page):
    """Its answer, due in the next frame, would be to the example as it is drawn on the pad."""
    at_once, after = page.evaluate(
        """async () => {
        const pad = document.querySelector(".d2l-live-pad"), box = pad.getBoundingClientRect();
        const seen = () => document.querySelector(".d2l-live-seen").toDataURL();
        const place = { clientX: box.left + 9, clientY: box.top + 9 };
        pad.setPointerCapture = () => {};
        pad.dispatchEvent(new PointerEvent("pointerdown", place));
        pad.dispatchEvent(new PointerEvent("pointerup", place));
        delete pad.setPointerCapture;
        document.querySelector(".d2l-live-presets button").click();
        const first = seen();
        await new Promise(requestAnimationFrame);
        return [first, seen()];
        }"""
    )
    assert after == at_once


def test_what_is_drawn_is_scaled_and_centred_as_in_mnist(page):
    """Wherever and however large a line is drawn, its longer side is 20 of 28 pixels."""
    pad = page.locator(".d2l-live-pad")
    box = pad.bounding_box()
    page.get_by_role("button", name="Clear").click()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 90, steps=3)
    page.mouse.up()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    pixels = page.evaluate(
        """() => { const c = document.querySelector('.d2l-live-seen');
        return Array.from(c.getContext('2d').getImageData(0, 0, 28, 28).data); }"""
    )
    ink = torch.tensor(pixels).view(28, 28, 4)[..., 0].double()
    rows, columns = ink.sum(dim=1).nonzero().flatten(), ink.sum(dim=0).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == 20
    for axis, found in ((0, rows), (1, columns)):
        mass = ink.sum(dim=1 - axis)
        assert abs((mass * torch.arange(28)).sum() / mass.sum() - 13.5) <= 0.5, found


def test_nothing_serious_for_assistive_technology(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def test_without_scripts_a_described_picture_is_there(data):
    shown = d2l.live(every_layer(), data)
    before_script = shown._repr_html_().split("<script>")[0]
    assert '<img class="d2l-live-still" alt="' in before_script and "hidden>" in before_script
    assert ' width="500" src="data:image/png' in before_script
    assert Image.open(io.BytesIO(shown.still)).size == (1000, 400) and len(shown.still) < 10_000


class Doubled(nn.Conv2d):
    """Not the convolution that it is derived from."""

    def forward(self, X):
        return 2 * super().forward(X)


class Backwards(nn.Sequential):
    """Not the order of layers that it is derived from."""

    def forward(self, X):
        for layer in reversed(self):
            X = layer(X)
        return X


@pytest.mark.parametrize(
    ("layer", "error", "word"),
    [
        (nn.BatchNorm2d(1), TypeError, "BatchNorm2d"),
        (Doubled(1, 1, 3), TypeError, "Doubled"),
        (Backwards(nn.Flatten()), TypeError, "Backwards"),
        (nn.Conv2d(1, 1, 3, dilation=2), ValueError, r"dilation=\(2, 2\)"),
        (nn.MaxPool2d(2, dilation=2), ValueError, "dilation=2"),
        (nn.Conv2d(1, 1, 3, padding_mode="reflect"), ValueError, "padding_mode='reflect'"),
        (nn.Conv2d(1, 1, 3, padding="same"), ValueError, "padding='same'"),
        (nn.Conv2d(2, 2, 3, groups=2), ValueError, "groups=2"),
        (nn.MaxPool2d(2, ceil_mode=True), ValueError, "ceil_mode=True"),
        (nn.AvgPool2d(2, count_include_pad=False), ValueError, "count_include_pad=False"),
        (nn.Flatten(2), ValueError, "start_dim=2"),
    ],
)
def test_what_the_page_cannot_compute_is_refused(data, layer, error, word):
    with pytest.raises(error, match=word):
        d2l.live(nn.Sequential(layer), data)


def test_other_images_and_other_nets_are_refused(data):
    colour = d2l.load_cifar10(train_size=10, test_size=100, source="synthetic")
    with pytest.raises(ValueError, match="load_mnist"):
        d2l.live(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), colour)
    with pytest.raises(TypeError, match="Linear"):
        d2l.live(nn.Linear(784, 10), data)


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([nn.Flatten()], r"\(1, 784\)"),  # without parameters
        ([nn.Flatten(), nn.Linear(784, 9)], r"\(1, 9\)"),
        ([nn.Conv2d(1, 10, 28)], r"\(1, 10, 1, 1\)"),
    ],
)
def test_another_number_of_scores_is_refused(data, layers, shape):
    right, wrong = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), nn.Sequential(*layers)
    for nets in ({"net": wrong}, {"net": right, "before": wrong}):
        with pytest.raises(ValueError, match=rf"{shape}; expected \(1, 10\).*Linear\(…, 10\)"):
            d2l.live(data=data, **nets)


def test_a_net_without_parameters_is_shown(data):
    net = nn.Sequential(nn.AvgPool2d((14, 5), stride=(14, 5)), nn.Flatten())
    assert '"avgpool"' in d2l.live(net, data).html


def test_the_script_is_short():
    assert len(SCRIPT.splitlines()) < 200


def test_chapter_1_holds_this_script():
    assert f"\n{SCRIPT}\nlive(root, " in chapter_1()


def test_ten_digits_drawn_by_hand_are_recognised(page, tmp_path):
    """By chapter 1's own network."""
    from playwright.sync_api import expect

    page = page.context.new_page()
    page.goto(write_page(chapter_1(), tmp_path / "chapter.html"))
    pad, told = page.locator(".d2l-live-pad"), page.locator(".d2l-live-answer")
    box, answers = pad.bounding_box(), {}
    for digit, strokes in STROKES.items():
        page.get_by_role("button", name="Clear").click()
        expect(told).to_be_empty()
        for (x, y), *rest in strokes:
            page.mouse.move(box["x"] + x, box["y"] + y)
            page.mouse.down()
            for x, y in rest:
                page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
            page.mouse.up()
        page.evaluate("() => new Promise(requestAnimationFrame)")
        answers[digit] = re.search(r"after training: (\d) \(", told.inner_text())[1]
    page.close()
    right = sum(digit == answer for digit, answer in answers.items())
    print(f"recognised: {right} of {len(answers)}; {answers}")
    assert right >= 7, answers
