"""Chapter 6's batch normalisation and networks (cells tagged ``model``)."""

import itertools

import pytest
import torch
import torchvision
from chapters import load_models, move_normalisation, take_weights
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import d2lhelpers as d2l


@pytest.fixture(scope="module")
def norm_chapter():
    return load_models("06_batch_norm")


def twins(chapter, theirs):
    """The chapter's layer beside PyTorch's ``theirs``, with the same random weight and bias."""
    ours = chapter["BatchNorm"](theirs.num_features, theirs.eps, theirs.momentum)
    with torch.no_grad():
        for name in ("weight", "bias"):
            values = torch.randn(theirs.num_features)
            getattr(ours, name).copy_(values)
            getattr(theirs, name).copy_(values)
    return ours, theirs


def run(layer, X, upstream):
    """Output, gradients of input, weight and bias, running mean and running variance."""
    layer.zero_grad()
    X = X.clone().requires_grad_()
    Y = layer(X)
    Y.backward(upstream)
    averages = layer.running_mean.clone(), layer.running_var.clone()
    return [Y.detach(), X.grad, layer.weight.grad, layer.bias.grad, *averages]


def random_maps(n, channels, height, width):
    """Random maps in float32 with deviations of at least 0.3.

    A channel of nearly equal values leaves so few digits to float32 that no two programs agree.
    """
    X = 2 * torch.randn(n, channels, height, width) + torch.randn(channels, 1, 1)
    if n * height * width == 1:
        return X
    mean = X.mean((0, 2, 3), keepdim=True)
    deviation = X.std((0, 2, 3), keepdim=True, correction=0)
    return mean + (X - mean) * (0.3 / deviation).clamp(min=1)


sizes = st.integers(1, 4)
batch = st.tuples(st.booleans(), sizes, sizes, sizes).filter(
    lambda b: not b[0] or b[1] * b[2] * b[3] > 1  # training, images, height, width
)


@given(
    channels=sizes,
    batches=st.lists(batch, min_size=1, max_size=5),
    momentum=st.floats(0, 1),
    eps=st.floats(1e-6, 0.1),
    channels_last=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_pytorch(norm_chapter, channels, batches, momentum, eps, channels_last, seed):
    """Chains of batches of random shapes, each in training or in evaluation mode."""
    torch.manual_seed(seed)
    ours, theirs = twins(norm_chapter, nn.BatchNorm2d(channels, eps, momentum))
    for training, n, height, width in batches:
        shape = n, channels, height, width
        X, upstream = random_maps(*shape), torch.randn(shape)
        if channels_last:
            X = X.contiguous(memory_format=torch.channels_last)
        pair = [run(layer.train(training), X, upstream) for layer in (ours, theirs)]
        for a, b in zip(*pair, strict=True):
            assert a.dtype == b.dtype == torch.float32
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_equals_pytorch_behind_a_dense_layer(norm_chapter):
    torch.manual_seed(0)
    ours, theirs = twins(norm_chapter, nn.BatchNorm1d(7))
    for training in (True, True, False):
        X, upstream = torch.randn(2, 16, 7)
        pair = [run(layer.train(training), X, upstream) for layer in (ours, theirs)]
        for a, b in zip(*pair, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize("training", [True, False])
def test_equals_pytorch_in_mixed_precision(norm_chapter, training):
    """The convolution hands over bfloat16; statistics and gradients are float32 all the same."""
    torch.manual_seed(0)
    X, upstream = torch.randn(16, 3, 8, 8), torch.randn(16, 5, 8, 8) / 16
    conv = nn.Conv2d(3, 5, kernel_size=3, padding=1)
    nn.init.constant_(conv.bias, 30.0)  # far from zero, where bfloat16 has steps of 1/8
    pair = []
    for layer in twins(norm_chapter, nn.BatchNorm2d(5)):
        layer.running_mean.fill_(30)
        net = nn.Sequential(conv, layer.train(training))
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            Y = net(X)
        assert Y.dtype == torch.bfloat16
        Y.float().backward(gradient=upstream)
        exact = [layer.running_mean, layer.running_var, layer.weight.grad, layer.bias.grad]
        rounded = [Y.detach().float(), conv.weight.grad.clone()]
        pair.append((exact, rounded))
    for a, b in zip(pair[0][0], pair[1][0], strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    for a, b in zip(pair[0][1], pair[1][1], strict=True):
        torch.testing.assert_close(a, b, atol=2**-7, rtol=2**-7)  # bfloat16 has 8 bits


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


def test_logits_of_torchvision(norm_chapter):
    """Auxiliary classifiers, which the chapter does not build, play no part in evaluation."""
    torch.manual_seed(0)
    theirs = torchvision.models.GoogLeNet(aux_logits=True, init_weights=False).eval()
    move_normalisation(theirs, variance=(0.1, 0.5))
    with torch.device("meta"):
        ours = norm_chapter["googlenet"]().eval()
    assert d2l.count_parameters(ours) == 6_624_904
    state = theirs.state_dict().items()
    take_weights(ours, [value for key, value in state if not key.startswith("aux")])
    # 200 as well: there the poolings of window 2 and 3, and rounding up or down, differ.
    for size in (224, 200):
        X = torch.randn(2, 3, size, size)
        X[1] *= 3
        with torch.no_grad():
            expected = theirs(X)
            assert (expected[0] - expected[1]).abs().max() > 1e-3  # the image matters
            torch.testing.assert_close(ours(X), expected, atol=1e-4, rtol=0)


def leaves(net):
    return [m for m in net.modules() if not list(m.children())]


def test_lenet_is_chapter_ones_but_for_normalisation(norm_chapter):
    """The same layers, and from the same seed the same weights; each channel adds γ and β."""
    lenet, norm = norm_chapter["lenet"], norm_chapter["BatchNorm"]
    nets = []
    for make in (load_models("01_lenet_mnist")["lenet"], lenet, lambda: lenet(norm)):
        torch.manual_seed(0)
        net = make().apply(d2l.init_xavier)
        nets.append(nn.Sequential(*(m for m in net if not isinstance(m, norm | nn.Identity))))
    first, without, normalised = nets
    for other in (without, normalised):
        assert str(other) == str(first)
        for a, b in zip(first.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
    assert d2l.count_parameters(lenet()) == 61_706
    assert d2l.count_parameters(lenet(norm)) == 61_706 + 2 * (6 + 16 + 120 + 84)
    assert lenet(norm)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_norm_stands_before_every_activation(norm_chapter):
    for net, activation, norm in (
        (norm_chapter["lenet"](norm_chapter["BatchNorm"]), nn.Sigmoid, norm_chapter["BatchNorm"]),
        (norm_chapter["plain_net"](), nn.ReLU, nn.BatchNorm2d),
    ):
        pairs = itertools.pairwise(leaves(net))
        before = [type(a) for a, b in pairs if isinstance(b, activation)]
        assert before and set(before) == {norm}


def test_plain_net_differs_in_normalisation_only(norm_chapter):
    """The same layers and, from the same seed, the same initial weights."""
    nets = []
    for norm in (nn.Identity, nn.BatchNorm2d):
        torch.manual_seed(0)
        net = norm_chapter["plain_net"](norm).apply(d2l.init_he)
        nets.append([m for m in leaves(net) if not isinstance(m, norm)])
    assert [str(m) for m in nets[0]] == [str(m) for m in nets[1]]
    for a, b in zip(*nets, strict=True):
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.equal(p, q)


def test_plain_net_shapes_and_work(norm_chapter):
    net = norm_chapter["plain_net"]()
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 20
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    first = 3 * 16 * 32**2 + (16 * 24 + 5 * 24 * 24) * 16**2
    later = (24 * 48 + 5 * 48 * 48) * 8**2 + (48 * 96 + 5 * 96 * 96) * 4**2
    work = d2l.count_multiply_adds(net, (3, 32, 32))
    assert work == 9 * (first + later) + 96 * 10
    assert 5e6 <= work <= 25e6
    channels = 16 + 6 * (24 + 48 + 96)
    without = d2l.count_parameters(norm_chapter["plain_net"](nn.Identity))
    assert d2l.count_parameters(net) == without + 2 * channels


@pytest.mark.parametrize(("images", "channels_last"), [(2, False), (4, True), (8, False)])
def test_ghost_norm_is_batch_norm_of_each_group(norm_chapter, images, channels_last):
    """Output and gradients are those of the groups on their own; running averages their mean."""
    torch.manual_seed(0)
    ours, theirs = norm_chapter["GhostNorm"](5, images), nn.BatchNorm2d(5)
    for name, values in zip(("weight", "bias"), torch.randn(2, 5), strict=True):
        getattr(ours, name).data = values.clone()
        getattr(theirs, name).data = values.clone()
    X, upstream = random_maps(8, 5, 3, 4), torch.randn(8, 5, 3, 4)
    if channels_last:
        X = X.contiguous(memory_format=torch.channels_last)
    found = run(ours, X, upstream)
    groups = 8 // images
    alone, averages = [], []
    theirs.zero_grad()
    for i in range(groups):
        theirs.reset_running_stats()
        part = X[i::groups].clone().requires_grad_()
        Y = theirs(part)
        Y.backward(upstream[i::groups])
        alone.append((Y.detach(), part.grad))
        averages.append(torch.stack([theirs.running_mean, theirs.running_var]))
    for i, (Y, gradient) in enumerate(alone):
        torch.testing.assert_close(found[0][i::groups], Y, atol=1e-5, rtol=0)
        torch.testing.assert_close(found[1][i::groups], gradient, atol=1e-5, rtol=0)
    for a, b in zip(found[2:4], (theirs.weight.grad, theirs.bias.grad), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    expected = torch.stack(averages).mean(dim=0)
    torch.testing.assert_close(torch.stack(found[4:]), expected, atol=1e-5, rtol=0)


def test_ghost_norm_evaluates_like_batch_norm(norm_chapter):
    torch.manual_seed(0)
    ours, theirs = norm_chapter["GhostNorm"](3, 2), nn.BatchNorm2d(3)
    move_normalisation(ours, variance=(0.5, 1.5))
    theirs.load_state_dict(ours.state_dict())
    X = torch.randn(6, 3, 2, 2)
    assert torch.equal(ours.eval()(X), theirs.eval()(X))
