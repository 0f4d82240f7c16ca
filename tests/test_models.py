"""The networks that a reader sees (cells tagged ``model``) against their sources."""

import pytest
import torch
from chapters import load_models
from torch import nn

import d2lhelpers as d2l
from d2lhelpers.course import notebooks as files


@pytest.fixture(scope="module")
def lenet_chapter():
    return load_models("01_lenet_mnist")


def test_lenet_parameters(lenet_chapter):
    lenet = lenet_chapter["lenet"]
    by_layer = [d2l.count_parameters(m) for m in lenet() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert by_layer == [156, 2_416, 48_120, 10_164, 850]
    assert d2l.count_parameters(lenet()) == 61_706


def test_lenet_shapes_and_work(lenet_chapter):
    lenet = lenet_chapter["lenet"]
    assert lenet()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    convolutions = 6 * 28 * 28 * 25 + 16 * 10 * 10 * 6 * 25
    dense = 400 * 120 + 120 * 84 + 84 * 10
    assert d2l.count_multiply_adds(lenet(), (1, 28, 28)) == convolutions + dense


def test_lenet_is_drawn_as_it_is_coded_below(lenet_chapter):
    """The picture comes before the class, so its folded cell spells the layers out as well."""
    cells = files.read_notebook(files.notebooks()[0]).cells
    (drawing,) = (cell.source for cell in cells if cell.id == "drawing")
    names = {"nn": nn, "d2l": d2l}
    exec(drawing, names)
    assert repr(names["picture"]) == repr(lenet_chapter["lenet"]())


def test_activation_is_the_only_difference(lenet_chapter):
    kinds = [[type(m) for m in lenet_chapter["lenet"](a)] for a in (nn.Sigmoid, nn.ReLU)]
    changed = [pair for pair in zip(*kinds, strict=True) if pair[0] != pair[1]]
    assert changed == [(nn.Sigmoid, nn.ReLU)] * 4


def test_mlp_is_as_large_as_lenet(lenet_chapter):
    sizes = [d2l.count_parameters(lenet_chapter[name]()) for name in ("lenet", "mlp")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)


def test_shuffled_pixels_are_the_only_difference(lenet_chapter):
    """For a seed, with and without shuffling, nets start alike; for all seeds the order is one."""
    shuffle, orders = lenet_chapter["ShufflePixels"], []
    for make, seed in ((lenet_chapter["lenet"], 0), (lenet_chapter["mlp"], 1)):
        torch.manual_seed(seed)
        plain = make().apply(d2l.init_xavier)
        torch.manual_seed(seed)
        shuffled = nn.Sequential(shuffle(), *make()).apply(d2l.init_xavier)
        weights = zip(plain.parameters(), shuffled.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in weights)
        orders.append(shuffled[0].order)
    X = torch.rand(2, 1, 28, 28)
    assert torch.equal(orders[0], orders[1])
    assert torch.equal(shuffle()(X).flatten(1), X.flatten(1)[:, orders[0]])
    assert sorted(orders[0].tolist()) == list(range(28 * 28))
