"""Histories of runs and tables of them."""

import dataclasses
import math

import pytest
from figures import history

from d2lhelpers import History, run_table


def run(**changes):
    empty = {field.name: 0 for field in dataclasses.fields(History)}
    return History(**empty | vars(history(epochs=2, **changes)))


def test_run_table():
    runs = {
        "one": run(parameters=1_234, multiply_adds=5_678_900, seconds=[1.4, 1.5, 20.0]),
        "another": run(validation=True, parameters=1, multiply_adds=2, seconds=[3]),
    }
    head, one, another = run_table(runs).splitlines()
    assert one.split()[:3] == ["one", "1,234", "5,678,900"]
    assert one.split()[-1] == "1.5" and another.split()[-1] == "3.0"
    columns = ("train loss", "train ", "validation", "test")
    curves = ("train_loss", "train_accuracy", "validation_accuracy", "test_accuracy")
    for name, line in zip(runs, (one, another), strict=True):
        assert len(line) == len(head)
        for column, curve in zip(columns, curves, strict=True):
            end = head.rindex(column) + len(column.strip())
            values = getattr(runs[name], curve, [])
            assert line[:end].split()[-1] == (f"{values[-1]:.4f}" if values else "-")
    with pytest.raises(ValueError, match="empty"):
        run_table({})


@pytest.mark.parametrize("curve", ["train_loss", "validation_loss", "test_loss"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_diverged_where_a_loss_ends_not_finite(curve, value):
    assert not run(validation=True).diverged
    assert run(validation=True, **{curve: [1.0, value]}).diverged
    assert not run(validation=True, **{curve: []}).diverged


def test_a_run_that_diverged_says_so_in_the_table():
    sound = run(parameters=1, multiply_adds=2, seconds=[3.0, 3.0])
    nan = {name: [0.5, math.nan] for name in ("train_loss", "train_accuracy", "test_accuracy")}
    lost = run(parameters=3, multiply_adds=4, seconds=[3.0, math.nan], **nan)
    at_once = run(parameters=5, multiply_adds=6, seconds=[math.nan], train_loss=[math.nan])
    _, *lines = run_table({"sound": sound, "lost": lost, "at once": at_once}).splitlines()
    assert "diverged" not in lines[0]
    assert lines[1].split() == ["lost", "3", "4", "diverged", "-", "-", "-", "3.0"]
    assert lines[2].split() == ["at", "once", "5", "6", "diverged", "-", "-", "-", "-"]
    assert len({len(line) for line in lines}) == 1
