"""Drawings say what the layer table says, to scale, in whole SVGs."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from chapters import load_models
from torch import nn
from toys import has_weights, weights

import d2lhelpers as d2l
from d2lhelpers.drawing import draw_block, draw_network

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing):
    return [text.text for text in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]


def boxes(drawing, kind):
    rects = ElementTree.fromstring(drawing.svg).iter(f"{SVG}rect")
    return [
        (float(rect.get("width")), float(rect.get("height")))
        for rect in rects
        if rect.get("class") == f"d2l-{kind}"
    ]


def networks():
    color, grey = (3, 32, 32), (1, 28, 28)
    yield "01_lenet_mnist", "lenet", grey, None
    yield "02_alexnet", "alexnet_cifar", color, None
    yield "02_alexnet", "alexnet", (3, 224, 224), None
    yield "03_vgg", "cifar_vgg", color, 1
    yield "04_nin", "nin_cifar", color, 2
    yield "05_googlenet", "googlenet_cifar", color, 1
    yield "05_googlenet", "googlenet", (3, 224, 224), 1
    yield "06_batch_norm", "plain_net", color, None
    yield "07_resnet_cifar10", "trashnet", color, 1
    yield "07_resnet_cifar10", "small_resnet", color, 1


def in_table(net, shape, depth):
    """Label, shape and number of parameters, in the order of the layer table."""
    lines = d2l.layer_table(net, shape, depth=depth).splitlines()[1:-1]
    for line in lines:
        label, size, parameters, _ = re.split(r"\s{2,}", line.strip())
        yield label, size, parameters


@pytest.mark.parametrize(("chapter", "name", "shape", "depth"), list(networks()))
def test_labels_are_those_of_the_layer_table(chapter, name, shape, depth):
    with torch.device("meta"):
        net = load_models(chapter)[name]()
    title, image, size, *drawn = texts(draw_network(net, shape, depth=depth))
    assert (title, image, size) == ("parameters", "input", " × ".join(map(str, shape)))
    before, expected = size, []
    for label, size, parameters in in_table(net, shape, depth):
        is_line = drawn[len(expected) + 1 : len(expected) + 2] != [size]
        assert not is_line or size == before  # what is left out is the shape that was there
        expected += [label] + ([] if is_line else [size])
        expected += [parameters] if parameters != "0" else []
        before = size
    assert drawn == expected


def test_outputs_and_parameters_are_drawn_to_scale():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 1),  # 8 parameters, 16 × 8
        nn.MaxPool2d(2),  # 8 × 4
        nn.Conv2d(4, 8, 1, bias=False),  # 32 parameters
        nn.Flatten(),  # 256
        nn.Linear(256, 64, bias=False),  # 16,384 parameters
    )
    drawing = draw_network(net, (1, 16, 8))
    image, first, pooled, second, flat, last = boxes(drawing, "face")
    assert image == first == pytest.approx((2 * pooled[0], 2 * pooled[1]), abs=0.2)
    assert image[1] == pytest.approx(2 * image[0], abs=0.2) and second == pooled
    assert flat[0] == pytest.approx(4 * last[0], abs=0.2)
    areas = [width * height for width, height in boxes(drawing, "bar")]
    assert areas == pytest.approx([areas[2] * n / 16384 for n in (8, 32, 16384)], rel=0.05)


def test_all_branches_and_joins_of_an_inception_block_are_drawn():
    block = load_models("05_googlenet")["Inception"](192, (64, 96, 128, 16, 32, 32))
    drawing = draw_block(block, (192, 28, 28))
    drawn = texts(drawing)
    assert drawn.count("concatenate") == 1 and drawn[:2] == ["input", "192 × 28 × 28"]
    for label, size, parameters in in_table(block, (192, 28, 28), None):
        name, kind = label.split()
        at = drawn.index(name)
        assert drawn[at - 1].split()[0] == kind and drawn[at + 1] == size
        if parameters != "0":
            assert drawn[at + 2] == parameters
    assert [text for text in drawn if "×" in text and text.startswith(("Conv", "Max"))] == [
        "Conv2d 1×1",
        "Conv2d 1×1",
        "Conv2d 3×3",
        "Conv2d 1×1",
        "Conv2d 5×5",
        "MaxPool2d 3×3",
        "Conv2d 1×1",
    ]
    english = drawing.description.en
    assert english.endswith(
        "concatenate, from one.1 ReLU and three.1.1 ReLU and five.1.1 ReLU and pool.1.1 ReLU."
    )


class Shortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, X):
        return torch.relu(self.conv(X) + X)


def test_a_shortcut_goes_around_what_it_skips():
    """Its line lies beside the boxes; the lines from box to box are straight."""
    drawing = draw_block(Shortcut(), (4, 8, 8))
    assert "sum, from 0" not in drawing.description.en
    assert "sum, from conv Conv2d and input" in drawing.description.en
    root = ElementTree.fromstring(drawing.svg)
    rects = [r for r in root.iter(f"{SVG}rect") if r.get("class") in ("d2l-box", "d2l-join")]
    right = max(float(r.get("x")) + float(r.get("width")) for r in rects)
    lanes = [
        float(x) for p in root.iter(f"{SVG}path") for x in re.findall(r"H([\d.]+)", p.get("d"))
    ]
    assert max(lanes) > right and max(lanes) < float(root.get("width"))


def test_a_shortcut_that_changes_shape_is_drawn_with_what_it_computes():
    block = load_models("07_resnet_cifar10")["Residual"](16, 32, stride=2)
    drawing = draw_block(block, (16, 8, 8))
    drawn, total = texts(drawing), sum(p.numel() for p in block.parameters())
    numbers = [int(text.replace(",", "")) for text in drawn if text.replace(",", "").isdigit()]
    assert sum(numbers) == total and "32 × 4 × 4" in drawn
    assert drawing.description.en.count("sum, from") == 1


@pytest.mark.parametrize("name", ["scale", "input"])
def test_a_parameter_of_a_block_is_not_its_input(name):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            setattr(self, name, nn.Parameter(torch.ones(())))

        def forward(self, X):
            return self.conv(X) * getattr(self, name)

    description = draw_block(Scaled(), (3, 4, 4)).description.en
    assert f"; {name}; product, from conv Conv2d and {name}" in description


def test_a_block_that_depends_on_values_is_refused():
    class Moody(nn.Module):
        def forward(self, X):
            return X if X.sum() > 0 else -X

    with pytest.raises(ValueError, match=r"Moody cannot be drawn[\s\S]*draw_network"):
        draw_block(Moody(), (1, 4, 4))


@pytest.mark.parametrize("shape", [(1, 28, 28), (28,)])
def test_a_drawing_leaves_the_net_and_the_random_numbers_alone(shape):
    net = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.LazyLinear(3))
    net(torch.zeros(1, *shape))
    net[1].eval()
    before, state = torch.get_rng_state(), weights(net)
    draw_network(net, shape)
    assert torch.equal(torch.get_rng_state(), before) and net.training and not net[1].training
    assert has_weights(net, state)


def test_it_has_words_in_the_chosen_language(tmp_path):
    net = nn.Linear(4, 2)
    drawing = draw_network(net, (4,))
    assert "10 parameters" in repr(drawing) and "10 个参数" in repr(drawing)
    titles = ElementTree.fromstring(drawing.svg).findall(f"{SVG}title")
    assert [title.get("lang") for title in titles] == ["zh", "en"]
    d2l.use_language("en")
    try:
        assert not re.search(r"[\u4e00-\u9fff]", draw_network(net, (4,)).svg)
    finally:
        d2l.use_language(None)
    draw_network(net, (4,)).save(tmp_path / "net.svg")
    assert ElementTree.parse(tmp_path / "net.svg").getroot().tag == f"{SVG}svg"
