"""The metrics against numbers worked out by hand, and the shapes that must be refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from d2lhelpers.metrics import (
    accuracy,
    confusion_matrix,
    correct_mask,
    count_correct,
)

ALL = (correct_mask, count_correct, accuracy, confusion_matrix)


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
