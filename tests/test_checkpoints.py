"""A checkpoint resumes its own run to the last bit, and no other."""

import dataclasses
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)
from toys import has_weights, weights

import d2lhelpers as d2l
from d2lhelpers import functions
from d2lhelpers.dataset import ImageDataset
from d2lhelpers.fingerprints import differences, run_settings
from d2lhelpers.history import CURVES
from d2lhelpers.training import AlreadyTrainedWarning
from d2lhelpers.values import plain


@pytest.fixture(autouse=True)
def runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("D2L_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def toy_data(samples=10, batch_size=4, source="toys", seed=1, **parts):
    """Random 1×4×4 images of 3 classes; the last batch is smaller."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(samples, 1, 4, 4, generator=generator)
    dataset = TensorDataset(X, torch.randint(0, 3, (samples,), generator=generator))
    train = DataLoader(dataset, batch_size, shuffle=True, generator=torch.Generator())
    test = DataLoader(dataset, batch_size)
    return types.SimpleNamespace(**{"train": train, "test": test, "source": source} | parts)


def toy_net(seed=0, activation=nn.ReLU):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), activation(), nn.Linear(5, 3))


def numbers(history):
    """The curves without the clock."""
    return {curve: getattr(history, curve) for curve in CURVES if curve != "seconds"}


RESUMABLE = """
import os, signal, sys
import torch
from torch import nn
import d2lhelpers as d2l

def run(checkpoint, die_after):
    data = d2l.load_mnist(
        50, train_size=420, test_size=100, source="synthetic", augment=(d2l.random_crop,)
    )
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(), nn.Dropout(), nn.Linear(2304, 10),
    )
    passes = 0
    def count(net, *_):
        nonlocal passes
        passes += net.training
        if net.training and passes == die_after:
            os.kill(os.getpid(), signal.SIGKILL)
    net.register_forward_hook(count)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    steps = 4 * len(data.train)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
    history = d2l.train(
        net, data, epochs=4, optimizer=optimizer, schedule=schedule, seed=7,
        checkpoint=checkpoint, device="cpu",
    )
    found = net.state_dict(), history.train_loss, history.test_loss, passes
    torch.save(found, checkpoint + ".found")

for checkpoint, die_after in zip(sys.argv[1::2], sys.argv[2::2]):
    run(checkpoint, int(die_after))
"""


def run_resumable(folder, *arguments):
    """Train to each checkpoint of ``arguments``, killed after so many batches, or 0; the status."""
    command = [sys.executable, "-c", RESUMABLE, *map(str, arguments)]
    return subprocess.run(command, check=False, cwd=folder).returncode


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_in_mid_epoch_ends_where_an_uninterrupted_run_ends(tmp_path):
    # Nine batches an epoch: the kill falls in the middle of the third.
    status = run_resumable(tmp_path, "whole.pt", 0, "killed.pt", 9 * 2 + 4)
    assert status == -signal.SIGKILL and not (tmp_path / "killed.pt.found").exists()
    assert run_resumable(tmp_path, "killed.pt", 0) == 0
    whole, resumed = (torch.load(tmp_path / f"{name}.pt.found") for name in ("whole", "killed"))
    assert (whole[3], resumed[3]) == (9 * 4, 9 * 2)
    assert resumed[1:3] == whole[1:3]
    assert all(torch.equal(value, whole[0][key]) for key, value in resumed[0].items())


def test_a_finished_checkpoint_is_not_trained_again(tmp_path):
    def run():
        net = toy_net()
        history = d2l.train(net, toy_data(), epochs=2, lr=0.1, checkpoint=tmp_path / "c.pt")
        return dataclasses.asdict(history), net[3].weight

    first = run()
    record = Path(first[0]["log_dir"]) / "run.json"
    record.unlink()  # as if killed after the last epoch was saved
    second = run()
    assert first[0] == second[0] and torch.equal(first[1], second[1])
    assert json.loads(record.read_text())["test_accuracy"] == first[0]["test_accuracy"]


def test_a_net_from_a_finished_checkpoint_counts_as_trained(tmp_path):
    nets = toy_net(), toy_net()
    for net in nets:
        d2l.train(net, toy_data(), epochs=1, lr=0.1, checkpoint=tmp_path / "c.pt")
    with pytest.warns(AlreadyTrainedWarning):
        d2l.train(nets[1], toy_data(), epochs=1, lr=0.1)


class Stop(Exception):
    """The learner's stop button, at a chosen batch."""


def stop_after(net, batches, error=Stop):
    seen = []

    def count(net, *_):
        seen.extend([1] * net.training)
        if len(seen) > batches:
            raise error

    return net.register_forward_hook(count)


def adam(net):
    return torch.optim.AdamW(net.parameters(), lr=0.05, weight_decay=0.01)


def sgd(net, **options):
    return torch.optim.SGD(net.parameters(), **{"lr": 0.1, "momentum": 0.9} | options)


class Warmup:
    """A schedule of a learner's own, which counts for itself."""

    def __init__(self, optimizer, steps):
        self.optimizer, self.steps, self.count = optimizer, steps, 0

    def step(self):
        self.count += 1
        self.optimizer.param_groups[0]["lr"] = 0.1 * min(1, self.count / self.steps)

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


SCHEDULES = {
    "none": lambda optimizer: None,
    "one cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=12),
    "cyclic": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, 5),
    "restarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 2),
    "milestones": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 4, 8]),
    "function": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "two in turn": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)],
        [4],
    ),
    "own": lambda optimizer: Warmup(optimizer, steps=6),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter")  # from within SequentialLR
@pytest.mark.parametrize("stopped_at", [1, 5, 7])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_stopping_and_running_the_training_cell_again_resumes(tmp_path, schedule, stopped_at):
    """Net, optimiser and schedule are those that the stopped run has left in mid-epoch."""

    def cells():
        net = toy_net()
        optimizer = adam(net) if schedule == "one cycle" else sgd(net)
        made = {"optimizer": optimizer, "schedule": SCHEDULES[schedule](optimizer)}
        return net, made

    net, made = cells()
    whole = d2l.train(net, toy_data(), epochs=4, **made)
    net, made = cells()
    data = toy_data()

    def training_cell():
        return d2l.train(net, data, epochs=4, **made, checkpoint=tmp_path / "c.pt")

    button = stop_after(net, stopped_at)
    with pytest.raises(Stop):
        training_cell()
    button.remove()
    assert numbers(training_cell()) == numbers(whole)


CHANGES = {
    "seed": {"seed": 2},
    "epochs": {"epochs": 3},
    "name": {"name": "other"},
    "precision": {"precision": "bfloat16"},
    "loss": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    "data.source": {"data": lambda: toy_data(source="other toys")},
    "data.train.dataset.len": {"data": lambda: toy_data(samples=11)},
    "data.train.dataset.tensors": {"data": lambda: toy_data(seed=2)},
    "data.train.batch_size": {"data": lambda: toy_data(batch_size=5)},
    "data.train.sampler": {"data": lambda: toy_data(train=toy_data().test)},
    "data.train": {"data": lambda: toy_data(train=list(toy_data().test))},
    "data.validation": {"data": lambda: toy_data(validation=toy_data().test)},
    "data.mean": {"data": lambda: toy_data(mean=torch.tensor([0.5]))},
    "net.2": {"net": lambda: toy_net(activation=nn.Tanh)},
    "net.state_dict.1.weight": {"net": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3))},
    "optimizer": {"optimizer": adam},
    "optimizer.param_groups[0].lr": {"optimizer": lambda net: sgd(net, lr=0.2)},
    "optimizer.param_groups[0].momentum": {"optimizer": lambda net: sgd(net, momentum=0.5)},
    "optimizer.param_groups[0].weight_decay": {
        "optimizer": lambda net: sgd(net, weight_decay=0.01)
    },
    "optimizer.param_groups[0].nesterov": {"optimizer": lambda net: sgd(net, nesterov=True)},
    "optimizer.param_groups[0].params": {"optimizer": lambda net: sgd(net[3])},
    "len(optimizer.param_groups)": {
        "optimizer": lambda net: torch.optim.SGD(
            [{"params": net[1].parameters()}, {"params": net[3].parameters()}], 0.1, 0.9
        )
    },
    "schedule": {"schedule": SCHEDULES["milestones"]},
}


@pytest.mark.filterwarnings("ignore:优化器里没有")  # the optimiser of the last layer alone
@pytest.mark.parametrize("setting", CHANGES)
def test_checkpoint_of_another_run_is_refused_by_name(tmp_path, setting):
    def run(net=toy_net, data=toy_data, optimizer=sgd, schedule=SCHEDULES["none"], **others):
        arguments = {"epochs": 2, "seed": 1} | others
        nets.append(net())
        before.append(weights(nets[-1]))
        made = optimizer(nets[-1])
        arguments |= {"optimizer": made, "schedule": schedule(made)}
        return d2l.train(nets[-1], data(), checkpoint=tmp_path / "c.pt", **arguments)

    nets, before = [], []
    run()
    file = (tmp_path / "c.pt").read_bytes()
    with pytest.raises(ValueError, match="another run") as caught:
        run(**CHANGES[setting])
    assert f"\n  {setting}: " in str(caught.value) and f"\n  {setting}：" in str(caught.value)
    # Nothing was changed, neither the net nor the file, and nothing else is called different.
    assert has_weights(nets[1], before[1])
    assert (tmp_path / "c.pt").read_bytes() == file
    run()


SCHEDULE_CHANGES = {
    "schedule.total_steps": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=13),
    "optimizer.param_groups[0].max_lr": lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=12),
    "optimizer.param_groups[0].max_momentum": lambda o: lr_scheduler.OneCycleLR(
        o, 0.1, total_steps=12, max_momentum=0.8, base_momentum=0.8
    ),
    "schedule.milestones.5": lambda o: lr_scheduler.MultiStepLR(o, [2, 5]),
    "schedule.gamma": lambda o: lr_scheduler.MultiStepLR(o, [2, 4, 8], gamma=0.5),
    "schedule.steps": lambda o: Warmup(o, steps=7),
    "schedule.parts[1].gamma": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.8)], [4]
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("setting", SCHEDULE_CHANGES)
def test_every_constant_of_a_schedule_counts(setting):
    def settings(schedule):
        net = toy_net()
        optimizer = sgd(net)
        return run_settings(net, optimizer, schedule(optimizer), toy_data(), {})

    asked = settings(SCHEDULE_CHANGES[setting])
    ours = [settings(schedule) for schedule in list(SCHEDULES.values())[1:]]
    (same_kind,) = [one for one in ours if one["schedule"] == asked["schedule"] != "LambdaLR"]
    assert asked[setting] != same_kind.get(setting)


def image_data(labels=0, pixels=0, **options):
    images = torch.full((1000, 3, 32, 32), 7, dtype=torch.uint8)
    images[0] += pixels
    targets = torch.arange(1000) % 10
    targets[777] += labels
    return ImageDataset(images, targets, **{"mean": 0.5, "std": 0.25} | options)


OTHER_IMAGES = {
    "one label": {"labels": 1},
    "first image": {"pixels": 1},
    "mean": {"mean": 0.4},
    "std": {"std": 0.5},
    "augmentation": {"augment": (d2l.random_crop,)},
    "its strength": {"augment": (functools.partial(d2l.random_crop, padding=2),)},
}


@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: Subset(it, range(1000))])
def test_other_images_are_told_apart(wrap):
    known = plain(wrap(image_data(augment=(functools.partial(d2l.random_crop, padding=1),))))
    assert known == plain(
        wrap(image_data(augment=(functools.partial(d2l.random_crop, padding=1),)))
    )
    described = [plain(wrap(image_data()))]
    described += [plain(wrap(image_data(**change))) for change in OTHER_IMAGES.values()]
    for index, one in enumerate(described):
        assert one != known and one not in described[:index]


def test_samplers_subsets_lists_and_closures_are_told_apart():
    dataset = toy_data().test.dataset

    def closure(p):
        return lambda images, generator: images * p

    pairs = [
        [Subset(dataset, [0, 1, 2]), Subset(dataset, [0, 1, 3])],
        [Subset(dataset, range(50)), Subset(dataset, range(50, 100))],
        [closure(0.1), closure(0.2)],
        [nn.CrossEntropyLoss(weight=weight) for weight in (torch.ones(3), torch.arange(3.0))],
        [np.arange(50), np.arange(50)[::-1]],
    ]
    for first, second in pairs:
        assert plain(first) == plain(first) != plain(second)
    settings = [
        run_settings(toy_net(), sgd(toy_net()), None, toy_data(train=train), {})
        for train in (
            DataLoader(dataset, 4, sampler=WeightedRandomSampler([1.0] * 10, 10)),
            DataLoader(dataset, 4, sampler=WeightedRandomSampler([1.0] * 9 + [2.0], 10)),
            DataLoader(dataset, 4, drop_last=True),
            DataLoader([(X, y) for X, y in dataset], 4),
            DataLoader([(X, y + 1) for X, y in dataset], 4),
            [(X, y) for X, y in DataLoader(dataset, 4)],
            [(X, y + 1) for X, y in DataLoader(dataset, 4)],
        )
    ]
    for index, one in enumerate(settings):
        assert one not in settings[:index]


OWN_CODE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, default_collate
from torchvision.transforms import v2

RATE = 0.9

class Gained(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.gain, self.act = nn.Linear(16, 3), 2.0, torch.relu

    def forward(self, X):
        self.calls = getattr(self, "calls", 0) + 1
        return self.act(self.layer(X.flatten(1))) * self.gain

class Smoothed:
    def __init__(self):
        self.smoothing = 0.1

    def __call__(self, y_hat, y):
        return nn.functional.cross_entropy(y_hat, y, label_smoothing=self.smoothing)

def collate(pairs):
    X, y = default_collate(pairs)
    return X * 1.5, y

def loss(y_hat, y, *, factor=4):
    return factor * nn.functional.cross_entropy(y_hat, y)

net = Gained()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + RATE))
data.train = DataLoader(data.train.dataset, 4, collate_fn=collate)
data.train.dataset.transform = v2.Compose([v2.RandomHorizontalFlip(0.25)])
data.train.dataset.target_transform = lambda y: y + 5
settings = {"loss": loss, "own loss": Smoothed()}
"""

OWN_CHANGES = {
    "schedule.lr_lambdas": ("lambda step: 1 /", "lambda step: 2 /"),
    "schedule.lr_lambdas, by a global": ("RATE = 0.9", "RATE = 0.8"),
    "loss": ("return factor * nn", "return factor + nn"),
    "loss, by a default": ("factor=4", "factor=3"),
    "own loss": ("smoothing = 0.1", "smoothing = 0.2"),
    "data.train.collate_fn": ("X * 1.5", "X * 1.6"),
    "data.train.dataset.transform": ("Flip(0.25)", "Flip(0.75)"),
    "data.train.dataset.target_transform": ("y + 5", "y + 6"),
    "net.gain": (
        "gain, self.act = nn.Linear(16, 3), 2.0",
        "gain, self.act = nn.Linear(16, 3), 3.0",
    ),
    "net.act": ("torch.relu", "torch.tanh"),
    "net": ("* self.gain", "+ self.gain"),
}


def own_settings(code):
    """Of a run whose net, functions and objects a learner has written, after a step of training."""
    names = {"data": toy_data(), "__name__": "__main__"}
    exec(code, names)
    names["net"](torch.zeros(2, 1, 4, 4))
    return run_settings(
        *(names[key] for key in ("net", "optimizer", "schedule", "data", "settings"))
    )


@pytest.mark.parametrize("change", OWN_CHANGES)
def test_other_code_of_the_learners_own_is_another_run(change):
    old, new = OWN_CHANGES[change]
    assert OWN_CODE.count(old) == 1
    found = differences(own_settings(OWN_CODE), own_settings(OWN_CODE.replace(old, new)))
    names = [name for name, *_ in found if not name.startswith("data.test.")]  # shares the images
    assert names == [change.partition(",")[0]]


def test_the_same_code_run_again_elsewhere_is_the_same_run(monkeypatch):
    settings = own_settings(OWN_CODE)
    assert differences(settings, own_settings("# moved\n" + OWN_CODE + "print\n")) == []
    assert not any(place in str(settings) for place in (" at 0x", "line", str(Path.cwd())))
    # Another Python compiles to another code, which tells nothing; numbers still do.
    monkeypatch.setattr(functions.sys, "version_info", types.SimpleNamespace(major=3, minor=99))
    monkeypatch.setattr(functions, "_digest", lambda code: "0" * 8)
    assert differences(settings, own_settings(OWN_CODE)) == []
    other = own_settings(OWN_CODE.replace("factor=4", "factor=3"))
    assert [name for name, *_ in differences(settings, other)] == ["loss"]


class LearningLoss(nn.Module):
    """Cross-entropy at a temperature that is learned, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, scores, y):
        self.calls += 1
        return nn.functional.cross_entropy(scores / self.temperature, y) + 0.01 * self.calls


def test_a_loss_that_learns_is_resumed(tmp_path):
    def run(checkpoint=None, stopped_at=None):
        net, loss = toy_net(), LearningLoss()
        if stopped_at:
            stop_after(net, stopped_at)
        optimizer = torch.optim.SGD([*net.parameters(), *loss.parameters()], lr=0.1)
        settings = {"epochs": 4, "optimizer": optimizer, "loss": loss, "checkpoint": checkpoint}
        return d2l.train(net, toy_data(), **settings)

    with pytest.raises(Stop):
        run(tmp_path / "c.pt", stopped_at=7)
    assert numbers(run(tmp_path / "c.pt")) == numbers(run())
    loss = LearningLoss()
    d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1, loss=loss)
    assert loss.calls == 3  # mini-batches, and no trial


def test_names_in_an_array_are_known_in_another_process():
    names = [np.array([f"{index}.jpg" for index in range(40)], dtype=object) for _ in range(2)]
    assert plain(names[0]) == plain(names[1]) != plain(names[0][::-1])


def test_other_images_in_a_wrapped_loader_are_another_run(tmp_path):
    def run(seed):
        data = toy_data(seed=seed)
        data.train = Wrapped(data.train)
        return d2l.train(toy_net(), data, epochs=1, lr=0.1, checkpoint=tmp_path / "c.pt")

    run(1)
    with pytest.raises(ValueError, match=r"data\.train\.loader\.dataset"):
        run(2)


def test_a_schedule_that_no_checkpoint_can_hold_is_said_before_training(tmp_path):
    optimizer = sgd(net := toy_net())
    schedule = types.SimpleNamespace(step=lambda: None, optimizer=optimizer)
    with pytest.raises(ValueError, match="state_dict"):
        d2l.train(
            net, toy_data(), epochs=1, optimizer=optimizer, schedule=schedule,
            checkpoint=tmp_path / "c.pt",
        )  # fmt: skip


def test_an_object_that_leads_back_to_itself_is_told():
    class Loop:
        def __call__(self):
            return self.again()

    loop = Loop()
    loop.again, loop.folder = loop.__call__, str(Path.cwd())
    assert "Loop" in plain(loop) and str(Path.cwd()) not in plain(loop)


class Caching(TensorDataset):
    """Remembers what it has read, and how often it was asked."""

    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.cache, self.reads = [None] * len(self), 0

    def __getitem__(self, index):
        self.reads += 1
        if self.cache[index] is None:
            self.cache[index] = super().__getitem__(index)
        return self.cache[index]


class Noting(nn.Sequential):
    """Writes down what it does, where others have settings."""

    norms = ()
    ratio = float("nan")

    def forward(self, X):
        self.__dict__.setdefault("seen", []).append(len(X))
        return super().forward(X)


@pytest.mark.parametrize("stopped_at", [1, 5, 7])
@pytest.mark.parametrize("stop", [Stop, KeyboardInterrupt])
def test_what_changes_while_a_run_trains_makes_no_other_run(tmp_path, stop, stopped_at):
    def cells():
        torch.manual_seed(0)
        dataset = Caching(*toy_data().test.dataset.tensors)
        loader = DataLoader(dataset, 4, shuffle=True, generator=torch.Generator())
        return Noting(nn.Flatten(), nn.Linear(16, 3)), toy_data(train=loader)

    net, data = cells()
    whole = d2l.train(net, data, epochs=4, lr=0.1)
    net, data = cells()

    def training_cell():
        return d2l.train(net, data, epochs=4, lr=0.1, checkpoint=tmp_path / "c.pt")

    button = stop_after(net, stopped_at, stop)
    with pytest.raises(stop):
        training_cell()
    button.remove()
    assert numbers(training_cell()) == numbers(whole)


class Photographs(torch.utils.data.Dataset):
    """Opened one by one and changed at random, as those of a learner's own are."""

    def __init__(self, folder):
        self.root = str(folder)
        self.samples = [(f"{folder}/{index}.jpg", index % 3) for index in range(20)]
        self.transform = lambda X: X + torch.rand(())

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.transform(torch.zeros(1, 4, 4)), self.samples[index][1]


def test_neither_chance_nor_place_makes_another_run():
    def settings(folder):
        net = toy_net()
        data = toy_data(train=DataLoader(Photographs(folder), 4, shuffle=True))
        return run_settings(net, sgd(net), None, data, {"loss": nn.CrossEntropyLoss()})

    random_state = torch.get_rng_state()
    settings_here = settings("/here")
    torch.manual_seed(5)
    assert settings("/there") == settings_here and "here/" not in str(settings_here)
    torch.set_rng_state(random_state)
    toy_net()
    after = torch.get_rng_state()
    torch.set_rng_state(random_state)
    settings("/here")
    assert torch.equal(torch.get_rng_state(), after)


class Shifted(TensorDataset):
    """20 images that are moved at random, by the dataset's own generator."""

    def __init__(self):
        super().__init__(torch.zeros(20, 1, 4, 4), torch.arange(20) % 3)
        self.generator = torch.Generator()

    def __getitem__(self, index):
        X, y = super().__getitem__(index)
        return X + torch.rand((), generator=self.generator), y


def batch_sampler(images):
    """A sampler within a sampler, of which the former draws."""
    return BatchSampler(RandomSampler(images, generator=torch.Generator()), 8, drop_last=False)


class Wrapped:
    """A loader around a loader, as tutorials write it."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter(self.loader)

    def __len__(self):
        return len(self.loader)


class Shaken(TensorDataset):
    """20 images that are moved at random, by numbers from everywhere."""

    def __init__(self):
        super().__init__(torch.zeros(20, 1, 4, 4), torch.arange(20) % 3)
        self.dice = torch.Generator()

    def __getitem__(self, index):
        X, y = super().__getitem__(index)
        shift = random.random() + np.random.rand() + torch.rand((), generator=self.dice)
        return X + shift, y


LOADERS = {
    "wrapped": lambda: Wrapped(DataLoader(Shifted(), 8, shuffle=True, generator=torch.Generator())),
    "of all kinds": lambda: DataLoader(Shaken(), 8),
    "own": lambda: DataLoader(Shifted(), 8, shuffle=True, generator=torch.Generator()),
    "two sets": lambda: DataLoader(ConcatDataset([Shifted(), Shifted()]), 8),
    "batch sampler": lambda: DataLoader(Shifted(), batch_sampler=batch_sampler(range(20))),
}


@pytest.mark.parametrize("loader", LOADERS)
def test_all_that_data_made_by_hand_draws_from_is_resumed(tmp_path, loader):
    def data():
        return toy_data(train=LOADERS[loader]())

    whole = d2l.train(toy_net(), data(), epochs=3, lr=0.1)
    stopped = toy_net()
    button = stop_after(stopped, 4)
    with pytest.raises(Stop):
        d2l.train(stopped, data(), epochs=3, lr=0.1, checkpoint=tmp_path / "c.pt")
    button.remove()
    resumed = d2l.train(toy_net(), data(), epochs=3, lr=0.1, checkpoint=tmp_path / "c.pt")
    assert numbers(resumed) == numbers(whole)


def test_numpys_numbers_are_kept_as_pythons(tmp_path):
    path = tmp_path / "c.pt"

    def run(epochs_to_stop=None):
        net = toy_net()
        optimizer = sgd(net, lr=np.float64(0.1), weight_decay=np.float64(0.01))
        schedule = lr_scheduler.StepLR(optimizer, step_size=np.int64(4), gamma=np.float64(0.5))
        if epochs_to_stop:
            stop_after(net, epochs_to_stop * 3)
        return d2l.train(
            net, toy_data(), epochs=np.int64(3), checkpoint=path,
            optimizer=optimizer, schedule=schedule,
        )  # fmt: skip

    with pytest.raises(Stop):
        run(epochs_to_stop=2)
    assert len(torch.load(path, weights_only=True)["history"]["train_loss"]) == 2
    assert run().epochs == 3


def test_what_no_checkpoint_can_hold_is_said_before_training(tmp_path):
    net = toy_net()
    schedule = Warmup(sgd(net), 3)
    schedule.state_dict = lambda: {"folder": Path("here")}
    before = weights(net)
    with pytest.raises(TypeError, match=r"schedule holds a .*Path"):
        d2l.train(
            net, toy_data(), epochs=1, optimizer=schedule.optimizer, schedule=schedule,
            checkpoint=tmp_path / "c.pt",
        )  # fmt: skip
    assert has_weights(net, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_run_of_the_cpu_resumes_alike_on_a_gpu_each_time(tmp_path):
    def run(path, device, batches=100):
        net = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(16, 3))
        stop_after(net, batches)
        return d2l.train(net, toy_data(), epochs=3, lr=0.1, checkpoint=path, device=device)

    with pytest.raises(Stop):
        run(tmp_path / "c.pt", "cpu", batches=4)
    runs = []
    for i in range(2):
        torch.cuda.manual_seed(i)  # whatever was done there before
        path = Path(shutil.copy(tmp_path / "c.pt", tmp_path / f"{i}.pt"))
        runs.append(run(path, "cuda"))
    assert runs[0].train_loss == pytest.approx(runs[1].train_loss)


def test_another_machine_resumes_in_its_own_folder(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    net = toy_net()
    stop_after(net, 4)
    with pytest.raises(Stop):
        d2l.train(net, toy_data(), epochs=2, lr=0.1, name="test/toy", checkpoint=path)
    assert str(tmp_path).encode() not in path.read_bytes()
    monkeypatch.setenv("D2L_RUNS", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("D2L_EXECUTION", "of the notebook that resumes")
    history = d2l.train(toy_net(), toy_data(), epochs=2, lr=0.1, name="test/toy", checkpoint=path)
    assert history.execution == "of the notebook that resumes"
    assert Path(history.log_dir).parent == tmp_path / "elsewhere/test/toy"
    assert (Path(history.log_dir) / "run.json").exists()


UNREADABLE = {
    "cut short": lambda content: content[:-200],
    "empty": lambda content: b"",
    "garbage": lambda content: b"\x80\x04 not a checkpoint at all" * 30,
    "a pickle": lambda content: b"cos\nsystem\n(S'true'\ntR.",
    "text": lambda content: "<html>Drive: 配额".encode(),
}


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("kind", [*UNREADABLE, "weights"])
def test_file_that_is_no_checkpoint_is_named(tmp_path, monkeypatch, kind, language):
    monkeypatch.setenv("D2L_LANGUAGE", language)
    path = tmp_path / "c.pt"
    if kind == "weights":
        torch.save(toy_net().state_dict(), path)
    else:
        d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1, checkpoint=path)
        path.write_bytes(UNREADABLE[kind](path.read_bytes()))
    with pytest.raises(ValueError, match=r"c\.pt") as caught:
        d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1, checkpoint=path)
    shown = str(caught.value)
    assert ("whole checkpoint" in shown, "检查点" in shown) == (language == "en", language == "zh")
    assert "weights_only" not in shown
    assert caught.value.__suppress_context__ and caught.value.__cause__ is None


MALFORMED = {
    "settings no dict": lambda state: state.update(settings=3),
    "no net": lambda state: state.pop("net"),
    "net without a weight": lambda state: state["net"].pop("3.bias"),
    "net no dict": lambda state: state.update(net=[1]),
    "optimizer of nothing": lambda state: state["optimizer"].clear(),
    "generators no states": lambda state: state.update(generators=["one"]),
    "no random state": lambda state: state.update(random=None),
    "history no dict": lambda state: state.update(history=[]),
    "a curve of a text": lambda state: state["history"].update(train_loss="0.5"),
    "a curve of texts": lambda state: state["history"].update(test_accuracy=["0.5"]),
    "a name of a number": lambda state: state["history"].update(name=3),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_checkpoint_with_other_contents_is_refused_and_changes_nothing(tmp_path, kind):
    path = tmp_path / "c.pt"
    d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1, checkpoint=path)
    state = torch.load(path, weights_only=True)
    MALFORMED[kind](state)
    torch.save(state, path)
    net = toy_net()
    before = weights(net)
    with pytest.raises(ValueError, match=r"检查点.*\n.*not a whole checkpoint"):
        d2l.train(net, toy_data(), epochs=1, lr=0.1, checkpoint=path)
    assert has_weights(net, before)


@pytest.mark.parametrize("logged_before", [True, False])
def test_a_runs_folder_that_cannot_be_written_ends_no_resumed_training(
    tmp_path, monkeypatch, logged_before
):
    def run():
        return d2l.train(toy_net(), toy_data(), epochs=1, lr=0.1, checkpoint=tmp_path / "c.pt")

    (tmp_path / "file").touch()
    if logged_before:
        run()
    else:
        monkeypatch.setenv("D2L_RUNS", str(tmp_path / "file"))
        with pytest.warns(UserWarning, match="goes on without"):
            run()
    monkeypatch.setenv("D2L_RUNS", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="goes on without"):
        assert run().epochs == 1


def test_full_disk_is_said_and_keeps_the_old_checkpoint(tmp_path):
    """A limit on the size of files fails inside PyTorch's writer, as a full disk does."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "c.pt"
    net = toy_net()
    optimizer = adam(net)  # which holds nothing before its first step
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    stop_after(net, 1)
    with pytest.raises(Stop):
        d2l.train(net, toy_data(), epochs=2, optimizer=optimizer, checkpoint=path)
    before = path.read_bytes()
    net._forward_hooks.clear()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
    try:
        with pytest.raises(OSError, match=r"检查点.*\n.*c\.pt cannot be written"):
            d2l.train(net, toy_data(), epochs=2, optimizer=optimizer, checkpoint=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and list(tmp_path.glob("*.partial")) == []
    assert d2l.train(net, toy_data(), epochs=2, optimizer=optimizer, checkpoint=path).epochs == 2


def test_failed_save_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    save, calls = torch.save, []

    def fail_after_first_epoch(state, file):
        calls.append(file)
        save(state, file)
        if len(calls) == 3:
            Path(file).write_bytes(Path(file).read_bytes()[:100])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail_after_first_epoch)
    with pytest.raises(OSError, match="No space"):
        d2l.train(toy_net(), toy_data(), epochs=3, lr=0.1, checkpoint=path)
    assert len(torch.load(path)["history"]["train_loss"]) == 1
    assert os.listdir(tmp_path / "runs") and list(tmp_path.glob("*.partial")) == []
