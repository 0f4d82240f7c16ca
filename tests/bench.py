"""Speed, measured as ratios in one run: ``make bench``.

Each row compares two ways of doing the same work on this machine; the target is the ratio that the
course promises. The plain loops are those of the notes: images opened and converted one by one,
DataLoader defaults, accuracy from further forward passes. Needs real or stand-in data at hand.
"""

import shutil
import statistics
import subprocess
import sys
import time
import warnings

import torch
from PIL import Image
from playwright.sync_api import sync_playwright
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import d2lhelpers as d2l
from d2lhelpers.course import notebooks as files

BATCH = 100
REPEATS = 3
EPOCHS = 3  # for train, so that setting up its logs counts as it does in a real run


class OneByOne(Dataset):
    """Images as torchvision's data sets hand them out: a PIL image each, transformed by itself."""

    def __init__(self, dataset, transform):
        self.images = dataset.images.permute(0, 2, 3, 1).squeeze(-1).contiguous().numpy()
        self.labels, self.transform = dataset.labels.tolist(), transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def seconds(work) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(slow_epoch, fast_epochs) -> float:
    """Median over repeats of an epoch's time, slow over fast, the two taking turns."""
    return statistics.median(
        seconds(slow_epoch) / (seconds(fast_epochs) / EPOCHS) for _ in range(REPEATS)
    )


def correct(y_hat, y) -> float:
    return float((y_hat.argmax(1) == y).sum())


def notes_lenet_epoch(net, train, test) -> None:
    """An epoch as in the notes' LeNet: train, then pass over the training set again, then test."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    net.train()
    for X, y in train:
        loss = nn.functional.cross_entropy(net(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    losses, accuracies = [], []
    for X, y in train:
        y_hat = net(X)
        losses.append(nn.functional.cross_entropy(y_hat, y))
        accuracies.append(correct(y_hat, y) / len(y))
    for X, y in test:
        accuracies.append(correct(net(X), y) / len(y))


def notes_trashnet_epoch(net, train, test) -> None:
    """An epoch as in the notes' TrashNet: a second forward pass of every batch for its accuracy."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.train()
    accuracies = []
    for X, y in train:
        loss = nn.functional.cross_entropy(net(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracies.append(correct(net(X), y) / len(y))
    net.eval()
    with torch.no_grad():
        for X, y in test:
            accuracies.append(correct(net(X), y) / len(y))


def lenet_rows():
    data = d2l.load_mnist(BATCH, mean=0, std=1)
    lenet = files.load_models(files.notebooks()[0])["lenet"]
    plain = [
        DataLoader(OneByOne(loader.dataset, transforms.ToTensor()), BATCH, shuffle=True)
        for loader in (data.train, data.test)
    ]
    slow, fast = lenet(), lenet()
    ratio = compare(
        lambda: notes_lenet_epoch(slow, *plain),
        lambda: d2l.train(lenet(), data, epochs=EPOCHS, lr=0.5, name="bench/LeNet/epoch"),
    )
    yield f"LeNet epoch, {data.source}: plain loop / train", ratio, ">=", 2.5

    X, y = next(iter(data.train))
    net = fast.to(memory_format=torch.channels_last)
    X = X.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)

    def pure_compute():
        for _ in range(len(data.train)):
            loss = nn.functional.cross_entropy(net(X), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    ratios = []
    for _ in range(REPEATS):
        history = d2l.train(lenet(), data, epochs=1, lr=0.5, name="bench/LeNet/training")
        ratios.append(history.seconds[0] / seconds(pure_compute))
    yield "LeNet training part / pure compute", statistics.median(ratios), "<=", 1.2


class Residual(nn.Module):
    """The notes' residual block."""

    def __init__(self, inputs, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, padding=1, stride=stride)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(inputs, channels, 1, stride=stride) if stride > 1 else None
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, X):
        Y = nn.functional.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        return nn.functional.relu(Y + (self.conv3(X) if self.conv3 else X))


def trashnet():
    """The notes' network for CIFAR-10."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=1, padding=1),
        Residual(32, 64, stride=2),
        Residual(64, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def trashnet_rows():
    half = {"mean": 0.5, "std": 0.5}
    augment = (d2l.random_flip, d2l.random_greyscale)
    sizes = {"train_size": 10_000, "test_size": 2_000}
    data = d2l.load_cifar10(BATCH, augment=augment, **sizes, **half)
    normalise = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    one_by_one = [transforms.RandomHorizontalFlip(), transforms.RandomGrayscale(), *normalise]
    plain = [
        DataLoader(OneByOne(loader.dataset, t), BATCH, shuffle=True, num_workers=4)
        for loader, t in (
            (data.train, transforms.Compose(one_by_one)),
            (data.test, transforms.Compose(normalise)),
        )
    ]
    ratio = compare(
        lambda: notes_trashnet_epoch(trashnet(), *plain),
        lambda: d2l.train(
            trashnet(), data, epochs=EPOCHS, lr=0.1, precision="auto", name="bench/TrashNet/epoch"
        ),
    )
    yield f"TrashNet epoch, {data.source}: plain loop / train", ratio, ">=", 2.5


def other_rows():
    clock = "time.perf_counter()"
    code = f"import time, torch; t = {clock}; import d2lhelpers; print({clock} - t)"
    spent = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout)
        for _ in range(REPEATS)
    ]
    yield "import d2lhelpers after torch, seconds", statistics.median(spent), "<=", 0.3
    for load, limit in ((d2l.load_mnist, 0.5), (d2l.load_cifar10, 1.5)):
        name = f"{load.__name__} from disk, seconds"
        yield name, statistics.median(seconds(load) for _ in range(REPEATS)), "<=", limit


def live_rows():
    """From a pointer's event to the answer on the page, which waits for the screen's next frame."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        return
    cells = files.read_notebook(files.notebooks()[0]).cells
    html = next(cell for cell in cells if cell.id == "live").outputs[0].data["text/html"]
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
        page.set_content(html)
        slower = page.context.new_cdp_session(page)
        slower.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        spent = page.evaluate(
            """async () => {
            const pad = document.querySelector(".d2l-live-pad"), spent = [];
            const send = (kind, at) =>
              pad.dispatchEvent(new PointerEvent(kind, { clientX: 50 + 4 * at, clientY: 100 }));
            pad.setPointerCapture = () => {}; // such events have no pointer
            send("pointerdown", 0);
            for (let i = 0; i < 30; i++) {
              const start = performance.now();
              send("pointermove", i);
              await new Promise(requestAnimationFrame);
              spent.push(performance.now() - start);
            }
            return spent;
            }"""
        )
    yield "stroke to answer, processor 4× slower, milliseconds", statistics.median(spent), "<=", 50


def main() -> int:
    # The notes' loop asks for four workers, whatever the machine.
    warnings.filterwarnings("ignore", "This DataLoader will create 4 worker processes")
    print(d2l.device_report(), end="\n\n")
    print(f"{'measured':<62}{'value':>8}{'target':>10}")
    failures = 0
    for rows in (other_rows, live_rows, lenet_rows, trashnet_rows):
        for name, value, relation, target in rows():
            holds = value >= target if relation == ">=" else value <= target
            failures += not holds
            print(f"{name:<62}{value:8.2f}{relation:>4}{target:6.2f}{'' if holds else '  missed'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
