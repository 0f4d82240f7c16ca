"""Evaluation takes any net and loader, and leaves no trace."""

import pytest
import torch
from torch import nn
from toys import has_weights, toy_data, toy_net, weights

import d2lhelpers as d2l
from d2lhelpers.say import Text

pytestmark = pytest.mark.usefixtures("runs_folder")


def test_evaluation_leaves_no_trace():
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), nn.Flatten(), nn.Linear(16, 3))
    net.train()
    net[0].eval()
    before = weights(net)
    random_state = torch.get_rng_state()
    scores, labels = d2l.predict(net, toy_data().test)
    assert scores.shape == (10, 3) and not scores.requires_grad
    assert labels.tolist() == toy_data().test.dataset.tensors[1].tolist()
    assert net.training and not net[0].training and net[1].training
    assert has_weights(net, before)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_evaluation_does_not_change_training():
    with_dropout = [nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(16, 3)) for _ in range(2)]
    with_dropout[1].load_state_dict(with_dropout[0].state_dict())
    data = toy_data()
    watched = d2l.train(with_dropout[0], data, epochs=3, lr=0.1)
    data.validation = data.test
    watched_more = d2l.train(with_dropout[1], data, epochs=3, lr=0.1)
    assert watched.train_loss == watched_more.train_loss


def test_auto_is_bfloat16_where_the_hardware_gains_from_it(monkeypatch):
    net, loader = toy_net(), toy_data().test
    seen = []
    net.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    for gains, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("d2lhelpers.compute.has_bfloat16", lambda device, gains=gains: gains)
        for measure in (d2l.predict, d2l.evaluate):
            seen.clear()
            measure(net, loader, precision="auto")
            assert set(seen) == {dtype}
    for measure in (d2l.predict, d2l.evaluate):
        with pytest.raises(ValueError, match="float8"):
            measure(net, loader, precision="float8")


def test_hooks_see_each_image_once():
    net, seen = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)), []
    net[0].register_forward_hook(lambda layer, inputs, output: seen.append(len(output)))
    d2l.predict(net, toy_data().test)
    assert seen == [4, 4, 2]


@pytest.mark.parametrize("measure", [d2l.predict, d2l.evaluate])
def test_an_empty_loader_is_refused(measure):
    with pytest.raises(ValueError, match="empty"):
        measure(toy_net(), [])


@pytest.mark.parametrize("measure", [d2l.predict, d2l.evaluate])
@pytest.mark.parametrize(("loader", "advice"), [(toy_data(), "data.test"), (None, "NoneType")])
def test_what_is_no_loader_is_refused(measure, loader, advice):
    with pytest.raises(ValueError, match=advice) as refused:
        measure(toy_net(), loader)
    assert isinstance(refused.value.args[0], Text)


def test_batches_may_come_from_anywhere():
    net, loader = toy_net(), toy_data().test
    expected = d2l.predict(net, loader)[0]
    for batches in (list(loader), iter(loader), (batch for batch in loader)):
        assert torch.equal(d2l.predict(net, batches)[0], expected)
