"""Chapter 6's batch normalisation and networks (cells tagged ``model``)."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import d2lhelpers as d2l
from d2lhelpers import course


@pytest.fixture(scope="module")
def norm_chapter():
    (path,) = [path for path in course.notebooks() if path.stem == "06_batch_norm"]
    return course.load_models(path)


def run(layer, X, upstream):
    """Output and gradients of input, weight and bias, then the running averages."""
    layer.zero_grad()
    X = X.clone().requires_grad_()
    Y = layer(X)
    Y.backward(upstream)
    averages = layer.running_mean.clone(), layer.running_var.clone()
    return [Y.detach(), X.grad, layer.weight.grad, layer.bias.grad, *averages]


def twins(ours, theirs, dtype):
    """Both layers with the same random weight and bias."""
    with torch.no_grad():
        for name in ("weight", "bias"):
            values = torch.randn(getattr(theirs, name).shape)
            getattr(ours, name).copy_(values)
            getattr(theirs, name).copy_(values)
    return ours.to(dtype), theirs.to(dtype)


sizes = st.integers(1, 5)


@settings(deadline=None, max_examples=50)
@given(
    shape=st.tuples(sizes, sizes, sizes, sizes).filter(lambda s: s[0] * s[2] * s[3] > 1),
    momentum=st.floats(0.01, 0.99),
    eps=st.sampled_from([1e-5, 1e-3]),
    seed=st.integers(0, 1000),
)
def test_equals_pytorch(norm_chapter, shape, momentum, eps, seed):
    torch.manual_seed(seed)
    options = {"eps": eps, "momentum": momentum}
    ours, theirs = twins(
        norm_chapter["BatchNorm"](shape[1], **options),
        nn.BatchNorm2d(shape[1], **options),
        torch.float64,
    )
    for training in (True, True, False):  # twice, so that the averages start from something
        X = 3 * torch.randn(shape, dtype=torch.float64) + 2
        upstream = torch.randn(shape, dtype=torch.float64)
        pair = [run(layer.train(training), X, upstream) for layer in (ours, theirs)]
        for a, b in zip(*pair, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize("training", [True, False])
def test_equals_pytorch_in_float32(norm_chapter, training):
    torch.manual_seed(0)
    ours, theirs = twins(norm_chapter["BatchNorm"](5), nn.BatchNorm2d(5), torch.float32)
    X, upstream = torch.randn(8, 5, 6, 6) + 1, torch.randn(8, 5, 6, 6) / 8
    pair = [run(layer.train(training), X, upstream) for layer in (ours, theirs)]
    for a, b in zip(*pair, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_equals_pytorch_behind_a_dense_layer(norm_chapter):
    torch.manual_seed(0)
    ours, theirs = twins(norm_chapter["BatchNorm"](7), nn.BatchNorm1d(7), torch.float64)
    for training in (True, False):
        X, upstream = torch.randn(2, 16, 7, dtype=torch.float64)
        pair = [run(layer.train(training), X, upstream) for layer in (ours, theirs)]
        for a, b in zip(*pair, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_running_averages_by_hand(norm_chapter):
    """Variance over n - 1, and ``momentum`` weighs the new value."""
    layer = norm_chapter["BatchNorm"](1, momentum=0.1)
    layer(torch.tensor([[1.0], [2.0], [3.0], [6.0]]))  # mean 3, squares about it 14 in all
    assert layer.running_mean.item() == pytest.approx(0.1 * 3)
    assert layer.running_var.item() == pytest.approx(0.9 * 1 + 0.1 * 14 / 3)


def test_epsilon_is_under_the_root(norm_chapter):
    layer = norm_chapter["BatchNorm"](1, eps=4.5)
    Y = layer(torch.tensor([[-2.0], [0.0], [0.0], [2.0]]))  # variance 2
    expected = torch.tensor([-2.0, 0.0, 0.0, 2.0]) / 6.5**0.5
    torch.testing.assert_close(Y.flatten(), expected)


@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1, 1)])
def test_a_batch_of_one_value_is_refused_and_leaves_no_trace(norm_chapter, shape):
    layer = norm_chapter["BatchNorm"](4)
    with pytest.raises(ValueError, match="single value"):
        layer(torch.randn(shape))
    assert torch.equal(layer.running_mean, torch.zeros(4))
    assert layer.eval()(torch.randn(shape)).shape == shape


def test_lenet_is_chapter_ones_but_for_normalisation(norm_chapter):
    """LeNet has 61,706 parameters; each normalised channel adds two."""
    lenet, norm = norm_chapter["lenet"], norm_chapter["BatchNorm"]
    assert d2l.count_parameters(lenet()) == 61_706
    assert d2l.count_parameters(lenet(norm)) == 61_706 + 2 * (6 + 16 + 120 + 84)
    assert [type(m) for m in lenet(norm) if not isinstance(m, norm)] == [type(m) for m in lenet()]
    assert lenet(norm)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_norm_stands_before_every_activation(norm_chapter):
    for net, activation, norm in (
        (norm_chapter["lenet"](norm_chapter["BatchNorm"]), nn.Sigmoid, norm_chapter["BatchNorm"]),
        (norm_chapter["plain_net"](), nn.ReLU, nn.BatchNorm2d),
    ):
        before = [type(a) for a, b in itertools.pairwise(net) if isinstance(b, activation)]
        assert before and set(before) == {norm}


def test_plain_net_differs_in_normalisation_only(norm_chapter):
    """The same layers and, from the same seed, the same initial weights."""
    nets = []
    for norm in (None, nn.BatchNorm2d):
        torch.manual_seed(0)
        net = norm_chapter["plain_net"](norm).apply(norm_chapter["init_he"])
        nets.append([m for m in net if not isinstance(m, nn.BatchNorm2d)])
    assert [str(m) for m in nets[0]] == [str(m) for m in nets[1]]
    for a, b in zip(*nets, strict=True):
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.equal(p, q)


def test_plain_net_shapes_and_work(norm_chapter):
    net = norm_chapter["plain_net"]()
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net) == 20
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    first = 3 * 16 * 32**2 + (16 * 24 + 5 * 24 * 24) * 16**2
    later = (24 * 48 + 5 * 48 * 48) * 8**2 + (48 * 96 + 5 * 96 * 96) * 4**2
    work = d2l.count_multiply_adds(net, (3, 32, 32))
    assert work == 9 * (first + later) + 96 * 10
    assert 5e6 <= work <= 25e6
    channels = 16 + 6 * (24 + 48 + 96)
    without = d2l.count_parameters(norm_chapter["plain_net"](None))
    assert d2l.count_parameters(net) == without + 2 * channels
