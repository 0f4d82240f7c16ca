"""Histories of runs and tables of them."""

import pytest
from figures import history

from d2lhelpers import run_table


def test_run_table():
    runs = {
        "one": history(
            epochs=2, parameters=1_234, multiply_adds=5_678_900, seconds=[1.4, 1.5, 20.0]
        ),
        "another": history(epochs=2, validation=True, parameters=1, multiply_adds=2, seconds=[3]),
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
