"""Counts against numbers worked out by hand; signals and gradients, against their definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toys import has_weights, weights

import d2lhelpers as d2l
from d2lhelpers.nets import count_multiply_adds, count_parameters, layer_table
from d2lhelpers.untouched import evaluating


def lenet():
    """LeNet as chapter 1 has it: 28×28 images padded by 2, so 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Sigmoid(),
        nn.Linear(120, 84),
        nn.Sigmoid(),
        nn.Linear(84, 10),
    )


# --- size of a network ------------------------------------------------------------------------


def test_parameters_of_lenet():
    assert count_parameters(lenet()) == 61_706


def test_shared_parameters_count_once_and_frozen_ones_not_at_all():
    first, second = nn.Linear(5, 5), nn.Linear(5, 5)
    second.weight = first.weight
    net = nn.Sequential(first, second, nn.BatchNorm1d(5))
    assert count_parameters(net) == 25 + 5 + 5 + (5 + 5)
    first.bias.requires_grad_(False)
    assert count_parameters(net) == 25 + 5 + (5 + 5)


def test_multiply_adds_of_lenet():
    by_hand = (
        6 * 28 * 28 * (1 * 5 * 5) + 16 * 10 * 10 * (6 * 5 * 5) + 400 * 120 + 120 * 84 + 84 * 10
    )
    assert count_multiply_adds(lenet(), (1, 28, 28)) == by_hand == 416_520


def test_multiply_adds_of_a_grouped_strided_convolution():
    conv = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=4)
    assert count_multiply_adds(conv, (8, 16, 16)) == 12 * 8 * 8 * (2 * 3 * 3)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.booleans())
def test_multiply_adds_of_any_convolution(groups, width, stride, padding, bias):
    c_in, c_out, size = groups * 2, groups * width, 9
    conv = nn.Conv2d(c_in, c_out, 3, stride, padding, groups=groups, bias=bias)
    out = (size + 2 * padding - 3) // stride + 1
    assert count_multiply_adds(conv, (c_in, size, size)) == c_out * out**2 * 2 * 9


def test_counting_leaves_the_net_and_the_random_numbers_alone():
    class Noise(nn.Module):
        def forward(self, X):
            return X + torch.randn_like(X)

    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval(), nn.BatchNorm2d(4), nn.Dropout(), Noise()
    )
    before = weights(net)
    modes = [module.training for module in net.modules()]
    state = torch.get_rng_state()
    count_multiply_adds(net, (3, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in net.modules()] == modes
    assert has_weights(net, before)
    assert all(p.grad is None for p in net.parameters())


def test_mode_comes_back_after_an_error():
    net = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        count_multiply_adds(net, (1, 28, 28))
    assert net.training and net[0].training


def test_multiply_adds_in_the_dtype_of_the_net():
    assert count_multiply_adds(nn.Linear(4, 3).double(), (4,)) == 12


def test_multiply_adds_without_parameters():
    assert count_multiply_adds(nn.Flatten(), (1, 2, 2)) == 0


@pytest.mark.parametrize("shape", [(), (3, 0, 4), (3, -1, 4), (3.0, 4, 4)])
def test_image_shape_is_checked(shape):
    with pytest.raises(ValueError, match="image_shape"):
        count_multiply_adds(nn.Flatten(), shape)


def test_evaluating_gives_every_module_its_own_mode_back():
    net = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    with pytest.raises(KeyError), evaluating(net):
        assert not any(module.training for module in net.modules())
        raise KeyError
    assert [net.training, net[0].training, net[1].training] == [True, True, False]


@pytest.mark.parametrize("depth", [None, 1, 2, 3])
def test_lines_of_the_layer_table_add_up(depth):
    net = nn.Sequential(nn.Sequential(*lenet()[:3], nn.Sequential(*lenet()[3:6])), *lenet()[6:])
    _, *lines, total = layer_table(net, (1, 28, 28), depth=depth).splitlines()
    assert len(lines) == {None: 12, 1: 7, 2: 10, 3: 12}[depth]
    numbers = [[int(n.replace(",", "")) for n in line.split()[-2:]] for line in (*lines, total)]
    assert [sum(column) for column in zip(*numbers[:-1], strict=True)] == numbers[-1]
    assert numbers[-1] == [61_706, 416_520]


def test_a_layer_used_twice_has_one_line():
    layer = nn.Conv2d(2, 2, 3, padding=1, bias=False)
    _, *lines, total = layer_table(nn.Sequential(layer, layer), (2, 4, 4)).splitlines()
    assert [line.split()[-2:] for line in lines] == [["36", "1,152"]]
    assert total.split()[-2:] == ["36", "1,152"]


def test_a_layer_that_returns_its_state_as_well_has_a_line():
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows, self.scores = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

        def forward(self, X):
            return self.scores(self.rows(X)[0][:, -1])

    _, *lines, _ = layer_table(Reading(), (5, 4)).splitlines()
    assert [line.split()[1] for line in lines] == ["LSTM", "Linear"] and "5 × 3" in lines[0]


@pytest.mark.parametrize("depth", [0, -1])
def test_depth_of_the_layer_table_is_checked(depth):
    with pytest.raises(ValueError, match=f"depth is {depth}; expected at least 1"):
        layer_table(lenet(), (1, 28, 28), depth=depth)


# --- signals and gradients


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)
    )


X = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
y = torch.arange(5)


def test_signals_are_root_mean_squares(net):
    signals = d2l.layer_signals(net, X)
    expected = [net[0](X), net(X)]
    assert list(signals) == ["0", "4"]
    assert list(signals.values()) == pytest.approx(
        [output.square().mean().sqrt().item() for output in expected]
    )


def test_gradients_are_those_of_backward(net):
    norms = d2l.layer_gradients(net, X, y)
    assert all(p.grad is None for p in net.parameters())
    nn.functional.cross_entropy(net(X), y).backward()
    expected = {"0": net[0].weight.grad.norm().item(), "4": net[4].weight.grad.norm().item()}
    assert norms == pytest.approx(expected)


def test_frozen_layers_have_no_gradient(net):
    whole = d2l.layer_gradients(net, X, y)
    net[0].weight.requires_grad_(False)
    assert d2l.layer_gradients(net, X, y) == {"4": pytest.approx(whole["4"])}


def test_a_layer_that_is_not_used_has_no_gradient(net):
    net.head = nn.Identity()
    net.head.unused = nn.Linear(2, 2)
    assert list(d2l.layer_gradients(net, X, y)) == ["0", "4"]


@pytest.mark.parametrize("look", [d2l.layer_signals, lambda net, X: d2l.layer_gradients(net, X, y)])
def test_looking_leaves_running_means_and_random_numbers_alone(net, look):
    net.insert(3, nn.Dropout())
    means, state = net[1].running_mean.clone(), torch.get_rng_state()
    look(net, X)
    assert torch.equal(net[1].running_mean, means) and net[1].num_batches_tracked == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_looking_leaves_a_buffer_that_forward_replaces_alone(net):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, X):
            self.passes = self.passes + 1
            return X

    net.insert(0, Counting())
    d2l.layer_signals(net, X)
    assert net[0].passes == 0


def test_gradients_that_wait_stay(net):
    nn.functional.cross_entropy(net(X), y).backward()
    before = [p.grad.clone() for p in net.parameters()]
    d2l.layer_gradients(net, 2 * X, y)
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), before, strict=True))


def test_the_mode_stays_and_counts(net):
    training = d2l.layer_signals(net, X)
    net.eval()
    assert d2l.layer_signals(net, X)["4"] != training["4"]  # other statistics
    assert not net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_no_hook_stays_after_an_error(net):
    with pytest.raises(RuntimeError):
        d2l.layer_signals(net, X[:, :, :4])
    assert not any(module._forward_hooks for module in net.modules())


def test_weights_initialised_by_he_keep_the_signal():
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 256, kernel_size=3)
    d2l.init_he(layer)
    assert layer.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert not layer.bias.any()
    net = nn.Sequential(
        *(m for _ in range(20) for m in (nn.Linear(400, 400, bias=False), nn.ReLU()))
    )
    signals = list(d2l.layer_signals(net.apply(d2l.init_he), torch.randn(100, 400)).values())
    assert 0.5 < signals[-1] / signals[0] < 2


def test_xavier_leaves_biases_alone():
    torch.manual_seed(0)
    layer = nn.Linear(300, 500)
    bias = layer.bias.clone()
    d2l.init_xavier(layer)
    assert layer.weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.02)
    assert torch.equal(layer.bias, bias)
