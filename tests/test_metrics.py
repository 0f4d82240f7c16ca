"""The metrics against numbers worked out by hand, and the shapes that must be refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from d2lhelpers.metrics import (
    accuracy,
    confusion_matrix,
    correct_mask,
    count_correct,
    count_multiply_adds,
    count_parameters,
    evaluating,
    layer_table,
)

ALL = (correct_mask, count_correct, accuracy, confusion_matrix)


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


# --- accuracy ---------------------------------------------------------------------------------


def test_scores_and_indices_give_the_same_answers():
    scores = torch.tensor([[0.1, 0.7, 0.2], [2.0, 1.0, 0.0], [-3.0, -2.0, -1.0], [0.0, 5.0, 1.0]])
    y = torch.tensor([1, 0, 0, 2])
    for y_hat in (scores, torch.tensor([1, 0, 2, 1])):
        assert correct_mask(y_hat, y).tolist() == [True, True, False, False]
        assert count_correct(y_hat, y) == 2
        assert accuracy(y_hat, y) == 0.5


def test_types_of_the_answers():
    y = torch.tensor([0, 1])
    assert correct_mask(y, y).dtype == torch.bool
    assert type(count_correct(y, y)) is int
    assert type(accuracy(y, y)) is float


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60))
def test_agrees_with_counting_one_by_one(pairs):
    predicted, true = (torch.tensor(column) for column in zip(*pairs, strict=True))
    right = sum(a == b for a, b in pairs)
    scores = nn.functional.one_hot(predicted, 10).float()
    assert count_correct(predicted, true) == count_correct(scores, true) == right
    assert accuracy(predicted, true) == right / len(pairs)
    matrix = confusion_matrix(predicted, true, 10)
    for i in range(10):
        for j in range(10):
            assert matrix[i, j] == pairs.count((j, i))
    assert torch.equal(matrix, confusion_matrix(scores, true))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_any_integer_dtype_of_labels(dtype):
    y_hat, y = torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4], dtype=dtype)
    assert count_correct(y_hat, y) == 2
    assert confusion_matrix(y_hat, y)[4, 3] == 1


def test_labels_beyond_eight_bits_do_not_wrap_around():
    y = torch.tensor([200, 100], dtype=torch.uint8)
    assert confusion_matrix(y, y).diagonal().nonzero().flatten().tolist() == [100, 200]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_dtype_of_scores(dtype):
    assert accuracy(torch.tensor([[0, 1], [1, 0]], dtype=dtype), torch.tensor([1, 0])) == 1.0


def test_a_row_with_nan_is_never_right():
    scores = torch.full((4, 3), float("nan"))
    assert accuracy(scores, torch.tensor([0, 1, 2, 0])) == 0.0
    scores[0] = torch.tensor([1.0, 0.0, 0.0])
    assert correct_mask(scores, torch.zeros(4, dtype=torch.long)).tolist() == [True] + [False] * 3
    with pytest.raises(ValueError, match="NaN"):
        confusion_matrix(scores, torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(
    ("y_hat", "y"),
    [
        (torch.zeros(4, 1, dtype=torch.long), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 1), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, dtype=torch.long), torch.zeros(4, 1, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(4, 1, dtype=torch.long)),
        (torch.zeros(1, dtype=torch.long), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(3, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(1, dtype=torch.long)),
        (torch.tensor(0), torch.tensor(0)),
        (torch.tensor(0), torch.zeros(1, dtype=torch.long)),
        (torch.zeros(1, 3), torch.tensor(0)),
        (torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)),
        (torch.zeros(4, 3, 2), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(4, 3, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(4, dtype=torch.long, device="meta")),
    ],
)
def test_refused_shapes(function, y_hat, y):
    with pytest.raises(ValueError, match=r"y_hat|y must|empty"):
        function(y_hat, y)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(
    ("y_hat", "y"),
    [
        (torch.zeros(4), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, dtype=torch.bool), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(4)),
        (torch.zeros(4, 3), torch.zeros(4, dtype=torch.bool)),
        (torch.zeros(4, 3, dtype=torch.long), torch.zeros(4, dtype=torch.long)),
        (np.zeros((4, 3)), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 3), [0, 0, 0, 0]),
    ],
)
def test_refused_types(function, y_hat, y):
    with pytest.raises(TypeError, match=r"y_hat|y must"):
        function(y_hat, y)


def test_the_message_names_both_devices():
    with pytest.raises(ValueError, match=r"on cpu but y is on meta.*y\.to"):
        accuracy(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long, device="meta"))


def test_mask_needs_no_values():
    """On the meta device there are no values to wait for, so this would fail on a sync."""
    mask = correct_mask(
        torch.zeros(4, 3, device="meta"), torch.zeros(4, dtype=torch.long, device="meta")
    )
    assert mask.shape == (4,) and mask.device.type == "meta"


# --- confusion matrix -------------------------------------------------------------------------


def test_rows_are_true_and_columns_predicted():
    y = torch.tensor([0, 0, 0, 1, 2])
    y_hat = torch.tensor([0, 2, 2, 1, 1])
    matrix = confusion_matrix(y_hat, y)
    assert matrix.dtype == torch.int64
    assert matrix.tolist() == [[1, 0, 2], [0, 1, 0], [0, 1, 0]]


def test_number_of_classes():
    y = torch.tensor([0, 1])
    assert confusion_matrix(torch.tensor([0, 3]), y).shape == (4, 4)
    assert confusion_matrix(torch.eye(7)[:2], y).shape == (7, 7)
    assert confusion_matrix(y, y, num_classes=5).shape == (5, 5)


@pytest.mark.parametrize(
    ("y_hat", "y", "num_classes"),
    [
        ([0, -1], [0, 1], None),
        ([0, 1], [0, -1], None),
        ([0, 5], [0, 1], 5),
        ([0, 1], [0, 5], 5),
        ([0, 1], [0, 1], 0),
    ],
)
def test_labels_out_of_range(y_hat, y, num_classes):
    with pytest.raises(ValueError, match="class indices from"):
        confusion_matrix(torch.tensor(y_hat), torch.tensor(y), num_classes)


def test_label_out_of_range_of_the_scores():
    with pytest.raises(ValueError, match="y holds class indices from 0 to 3; with 3 classes"):
        confusion_matrix(torch.zeros(2, 3), torch.tensor([0, 3]))


def test_num_classes_must_be_an_int():
    with pytest.raises(TypeError, match="num_classes"):
        confusion_matrix(torch.tensor([0]), torch.tensor([0]), 2.0)


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
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    state = torch.get_rng_state()
    count_multiply_adds(net, (3, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
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


@pytest.mark.parametrize("depth", [0, -1])
def test_depth_of_the_layer_table_is_checked(depth):
    with pytest.raises(ValueError, match=f"depth is {depth}; expected at least 1"):
        layer_table(lenet(), (1, 28, 28), depth=depth)
