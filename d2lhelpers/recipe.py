"""The one way in which chapters 2 to 7 train on CIFAR-10, so that their numbers compare."""

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace

import torch
from torch import nn

from .arguments import (
    check_has_parameters,
    check_maker,
    check_net,
    check_numbers,
    check_rate,
    check_rates,
)
from .augment import random_crop, random_flip
from .data import ImageData, load_cifar10
from .divergence import DivergedError
from .evaluation import count_batches
from .history import History
from .preflight import check_data
from .say import Text, is_at_prompt, say
from .training import train

VALIDATION_SIZE = 5_000
"""Training images set aside to choose learning rates: He et al., 2015, section 4.2, split alike."""


def load_protocol_data(
    batch_size: int = 128,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
    source: str = "auto",
    seed: int = 0,
) -> ImageData:
    """CIFAR-10 in 45,000 training, 5,000 validation and 10,000 test images.

    Training images are flipped and cropped at random (4 pixels of padding), drawn per image; all
    are standardised. Where ``test_size`` is smaller than the test set, validation shrinks with it.

    Args:
        batch_size, train_size, test_size, source, seed: as for ``load_cifar10``.
    """
    return load_cifar10(
        batch_size,
        validation_size=VALIDATION_SIZE if test_size is None else test_size // 2,
        train_size=train_size,
        test_size=test_size,
        source=source,
        augment=(random_flip, random_crop),
        seed=seed,
    )


def train_by_protocol(
    net: nn.Module, data: ImageData, *, epochs: int, lr: float, seed: int, name: str
) -> History:
    """Train with the course's recipe: SGD, Nesterov momentum 0.9, weight decay 5e-4, one cycle.

    The cycle is a linear rise of the learning rate over three tenths of the steps, then a linear
    fall to almost zero (Smith and Topin, "Super-convergence", 2018). bfloat16 is used where the
    hardware gains from it. Validation is evaluated after every epoch, the test set once.

    A run whose loss stops being finite is a result like any other: it is said so, and its history
    is returned, ``diverged``, so that a comparison goes on.

    Args:
        net, data, epochs, seed, name: as for ``train``.
        lr: the highest learning rate of the cycle.

    Raises:
        ValueError: as ``train``; or nobody knows how many mini-batches an epoch has.
    """
    check_net(net, data)
    epochs, lr, seed = check_numbers(epochs, check_rate(lr), seed)
    check_data(data)
    check_has_parameters(net)
    if count_batches(data.train) is None:
        raise ValueError(
            Text(
                zh="data.train 不知道一轮有几个小批量，而学习率的安排要用到。请给列表，"
                "或给知道长度的 DataLoader。",
                en="data.train does not know its number of mini-batches, which the cycle of "
                "learning rates needs; give a list, or a DataLoader with a length.",
            )
        )
    optimizer = torch.optim.SGD(
        net.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=lr,
        total_steps=epochs * len(data.train),
        anneal_strategy="linear",
        cycle_momentum=False,
    )
    try:
        return train(
            net,
            data,
            epochs=epochs,
            optimizer=optimizer,
            schedule=schedule,
            seed=seed,
            precision="auto",
            name=name,
        )
    except DivergedError as error:
        run = name.partition("/")[2] or name  # without the chapter
        say(
            zh=f"{run}：训练发散，损失不再是有限的数（最高学习率 {lr:.3g}）。",
            en=f"{run}: the training diverged, its loss is no longer finite (highest learning "
            f"rate {lr:.3g}).",
        )
        return error.history


class Trials(dict[float, History]):
    """Histories by learning rate. Rates that diverged are not in it, but can be looked up.

    So nothing that goes through the rates meets one of them, and a cell that asks for a certain
    rate finds out how it went.
    """

    def __init__(self):
        super().__init__()
        self.diverged: dict[float, History] = {}

    def __missing__(self, rate: float) -> History:
        return self.diverged[rate]


def try_rates(
    make_net: Callable[[], nn.Module],
    data: ImageData,
    rates: Iterable[float],
    *,
    epochs: int,
    seed: int,
    name: str,
) -> Trials:
    """A short training of a fresh net at each learning rate, without the test set.

    Says a line for each rate. A rate at which a loss stops being finite is said to do so and left
    out of the result; only ``found[rate]`` still gives its history.

    Where a notebook's cell is stopped, the trials that ended before are returned, and the code
    after it goes on; in a script ``KeyboardInterrupt`` does, upwards.

    Args:
        make_net: makes the net, weights initialised; torch is seeded with ``seed`` before.
        data, epochs, seed: as for ``train_by_protocol``.
        rates: the learning rates to try.
        name: of the variant, "chapter/model/variant"; the runs' names tell the rate as well.

    Raises:
        ValueError: an argument cannot work, which is said before anything is trained.
    """
    rates = check_rates(rates)
    found = Trials()
    try:
        run_trials(found, make_net, data, rates, epochs=epochs, seed=seed, name=name)
    except KeyboardInterrupt:
        if not _hand_over(found, rates):
            raise
    return found


def run_trials(
    found: Trials,
    make_net: Callable[[], nn.Module],
    data: ImageData,
    rates: Iterable[float],
    *,
    epochs: int,
    seed: int,
    name: str,
) -> None:
    """``try_rates`` that adds to what was ``found`` before, and ends when it is stopped.

    Args:
        rates: as ``check_rates`` returns them.

    Raises:
        KeyboardInterrupt: it was; the trials that are whole are in ``found``.
        ValueError: as ``try_rates``.
    """
    check_maker(make_net, "make_net")
    epochs, _, seed = check_numbers(epochs, None, seed)
    check_data(data)
    if getattr(data, "validation", None) is None:
        raise ValueError(
            Text(
                zh="学习率在验证集上选，而 data.validation 没有；请留出一部分训练图像，"
                "例如 validation_size=1000。",
                en="learning rates are chosen on validation images, but there is no "
                "data.validation; hold out some training images, such as validation_size=1000.",
            )
        )
    blind = _without_test(data)
    variant = name.rpartition("/")[2]
    for rate in rates:
        torch.manual_seed(seed)
        trial = f"{name}, trial at {rate:.3g}"
        run = train_by_protocol(make_net(), blind, epochs=epochs, lr=rate, seed=seed, name=trial)
        must_be_whole(run, epochs)
        if run.diverged:
            found.diverged[rate] = run
            continue
        found[rate] = run
        loss, accuracy = run.train_loss[-1], run.validation_accuracy[-1]
        say(
            zh=f"{variant}，学习率 {rate:.3g}：训练损失 {loss:.4f}，验证准确率 {accuracy:.4f}。",
            en=f"{variant}, learning rate {rate:.3g}: training loss {loss:.4f}, validation "
            f"accuracy {accuracy:.4f}.",
        )


def _hand_over(found: Trials, rates: Iterable[float]) -> bool:
    """After the stop button: say which trials are whole; whether ``try_rates`` returns them."""
    tried = [*found, *found.diverged]
    if not tried or not is_at_prompt():
        return False
    left = ", ".join(f"{rate:.3g}" for rate in rates if rate not in tried)
    say(
        zh=f"试学习率被停下。已经试完的 {len(tried)} 个在返回的结果里；后面的代码会继续运行。"
        f"没有试完：{left}。",
        en=f"The search was stopped. The {len(tried)} learning rates tried to the end are in the "
        f"result returned; the code after it goes on. Not tried to the end: {left}.",
    )
    return True


def _without_test(data):
    """``data.without_test()``, also of a learner's own object with loaders."""
    if hasattr(data, "without_test"):
        return data.without_test()
    names = ("train", "validation", "source", "mean", "std")
    return SimpleNamespace(
        test=None, **{name: getattr(data, name) for name in names if hasattr(data, name)}
    )


def must_be_whole(run: History, epochs: int) -> None:
    """Let a person's stop button end a series of trainings, and not enter half a run in it.

    Raises:
        KeyboardInterrupt: the run was stopped before its last epoch.
    """
    if run.epochs < epochs and not run.diverged:
        raise KeyboardInterrupt


def best_rate(found: Mapping[float, History]) -> float:
    """The learning rate of the highest last validation accuracy.

    Args:
        found: what ``try_rates`` returns.

    Raises:
        ValueError: no rate is left, because the loss was not finite at any.
    """
    usable = [rate for rate, run in found.items() if not run.diverged]
    if not usable:
        raise ValueError(
            Text(
                zh="没有学习率可选：试过的学习率下，损失都不再是有限的数；请试更小的。",
                en="no learning rate to choose from: the loss was not finite at any of them; "
                "try smaller ones.",
            )
        )
    return max(usable, key=lambda rate: found[rate].validation_accuracy[-1])
