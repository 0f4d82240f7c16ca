"""The one recipe of chapters 2 to 7."""

import dataclasses

import pytest
import torch
from torch import nn

import d2lhelpers as d2l


@pytest.fixture
def data():
    return d2l.load_protocol_data(40, train_size=200, test_size=100, source="synthetic")


def test_split_and_augmentation(data):
    sizes = [len(loader.dataset) for loader in (data.train, data.validation, data.test)]
    assert sizes == [200, 50, 100]
    assert data.train.dataset.augment == (d2l.random_flip, d2l.random_crop)
    assert data.validation.dataset.augment == data.test.dataset.augment == ()
    whole = d2l.load_protocol_data(source="synthetic")
    sizes = [len(loader.dataset) for loader in (whole.train, whole.validation, whole.test)]
    assert sizes == [45_000, 5_000, 10_000]


def test_one_cycle_of_learning_rates(data, tmp_path, monkeypatch):
    monkeypatch.setenv("D2L_RUNS", str(tmp_path))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    history = d2l.train_by_protocol(net, data, epochs=10, lr=0.02, seed=0, name="test/linear/cycle")
    assert len(history.validation_accuracy) == 10 and len(history.test_accuracy) == 1
    # Five steps an epoch, fifty in all: up over ten, down over forty.
    expected = [0.02 * min(step / 10, (51 - step) / 41) for step in range(5, 51, 5)]
    assert history.learning_rate == pytest.approx(expected)


def test_a_rate_is_chosen_without_the_test_set(data, tmp_path, monkeypatch):
    monkeypatch.setenv("D2L_RUNS", str(tmp_path))
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    blind = dataclasses.replace(data, test=None)
    history = d2l.train_by_protocol(net, blind, epochs=1, lr=0.01, seed=0, name="test/linear/lr")
    assert history.test_accuracy == [] and len(history.validation_accuracy) == 1
