"""What a training can do without never ends it: TensorBoard, the progress bar, the record."""

import json
import os
import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from toys import toy_data, toy_net

import d2lhelpers as d2l
from d2lhelpers.history import CURVES

pytestmark = pytest.mark.usefixtures("runs_folder")


def test_tensorboard_holds_what_history_holds(runs_folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    data = d2l.load_mnist(10, train_size=40, test_size=30, source="synthetic")
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    history = d2l.train(net, data, epochs=3, lr=0.1, name="test/linear/plain")
    assert Path(history.log_dir).parent == runs_folder / "test/linear/plain"
    log = EventAccumulator(history.log_dir)
    log.Reload()
    for curve in set(CURVES) - {"validation_loss", "validation_accuracy"}:
        events = log.Scalars(curve)
        assert [event.step for event in events] == [1, 2, 3]
        assert [event.value for event in events] == pytest.approx(getattr(history, curve))
    assert log.Tags()["graph"] and log.Tags()["images"] == ["samples"]
    record = json.loads((Path(history.log_dir) / "run.json").read_text())
    assert record["source"] == data.source and record["test_accuracy"] == history.test_accuracy


class Untraceable(nn.Module):
    """What it does depends on Python objects that no trace can follow."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 3)

    def forward(self, X):
        if torch.jit.is_tracing():
            raise RuntimeError("cannot be traced")
        return self.layer(X.flatten(1))


def without_tensorboard(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


def without_progress_bar(monkeypatch):
    monkeypatch.setattr("d2lhelpers.extras.is_interactive", lambda: True)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


def breaking_progress_bar(monkeypatch):
    def update():
        raise RuntimeError("the widget is gone")

    bar = types.SimpleNamespace(update=update, set_postfix_str=update, close=update)
    monkeypatch.setattr("d2lhelpers.extras.is_interactive", lambda: True)
    monkeypatch.setattr("tqdm.auto.tqdm", lambda **options: bar)


def full_disk(monkeypatch):
    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr("d2lhelpers.history.History.write", fail)


def unwritable_runs(monkeypatch):
    file = Path(os.environ["D2L_RUNS"]) / "file"
    file.write_text("where a folder should be")
    monkeypatch.setenv("D2L_RUNS", str(file))


FAULTS = [
    without_tensorboard,
    without_progress_bar,
    breaking_progress_bar,
    full_disk,
    unwritable_runs,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_extras_never_end_a_training(fault, monkeypatch):
    expected = d2l.train(toy_net(), toy_data(), epochs=2, lr=0.1).train_loss
    fault(monkeypatch)
    with pytest.warns(UserWarning, match="without") as caught:
        history = d2l.train(toy_net(), toy_data(), epochs=2, lr=0.1)
    assert len(caught) == 1 and "训练照常" in str(caught[0].message)
    assert history.train_loss == expected


def test_a_net_that_cannot_be_traced_is_trained():
    with pytest.warns(UserWarning, match="graph .*cannot be traced") as caught:
        d2l.train(Untraceable(), toy_data(), epochs=1, lr=0.1)
    assert len(caught) == 1


def test_a_fixed_batch_size_is_no_fault():
    """Nothing but mini-batches of four can be run, so neither graph nor count are to be had."""
    net = nn.Sequential(nn.Unflatten(0, (1, 4)), nn.Flatten(2), nn.Linear(16, 3), nn.Flatten(0, 1))
    with pytest.warns(UserWarning, match="multiply-adds"):
        history = d2l.train(net, toy_data(samples=8), epochs=2, lr=0.1)
    assert history.train_loss[1] < history.train_loss[0] and history.multiply_adds == 0


@pytest.mark.parametrize("known", [{}, {"mean": None, "std": None}, {"mean": 0}])
def test_unknown_colours_are_no_fault(known):
    data = toy_data()
    del data.mean, data.std
    data.__dict__.update(known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d2l.train(toy_net(), data, epochs=1, lr=0.1)
