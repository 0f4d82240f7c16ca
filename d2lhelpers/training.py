"""The training loop of the course."""

import math
import numbers
import time
import warnings
import weakref
from pathlib import Path

import torch
from torch import nn

from ._paths import folder
from .board import log_epoch, tensorboard
from .checkpoints import Resumable
from .device import describe, device_of, try_gpu
from .evaluation import autocast, evaluate, held_out, memory_format, resolve_precision, to_device
from .history import History, write_record
from .metrics import correct_mask
from .nets import count_multiply_adds, count_parameters
from .say import is_interactive

_trained_nets = weakref.WeakSet()


class DivergedError(RuntimeError):
    """The loss became NaN or infinite. ``history`` holds the epochs that ended before."""

    def __init__(self, message: str, history: "History"):
        super().__init__(message)
        self.history = history


class AlreadyTrainedWarning(UserWarning):
    """``train`` was given a net that it has trained before."""


def train(
    net: nn.Module,
    data,
    *,
    epochs: int,
    lr: float | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    schedule=None,
    loss=None,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: str = "float32",
    name: str = "scratch",
    checkpoint: str | Path | None = None,
) -> History:
    """Train ``net`` on ``data.train`` and evaluate it after every epoch.

    One forward pass a batch gives loss, gradient and training accuracy; training figures are
    therefore those of the net as it was while it learned. The seed fixes batch order, augmentation
    and dropout (not the initial weights: seed before making the net).

    Args:
        net: maps images (B, C, H, W) to class scores (B, K). Moved to ``device``, trained in place.
        data: has ``.train`` and ``.test`` loaders and optionally ``.validation`` (see ``History``
            for what is evaluated when). ``test=None`` leaves the test set alone; one of the two
            must be there.
        epochs: passes over the training set, at least 1.
        lr: learning rate of plain SGD, where no ``optimizer`` is given.
        optimizer: an optimiser of the net's parameters.
        schedule: a learning-rate scheduler of that optimiser, stepped after every batch.
        loss: maps scores (B, K) and labels (B,) to their mean loss; cross-entropy by default. The
            held-out loss is plain cross-entropy whatever is given here.
        seed: of everything random in training.
        device: where to train; ``try_gpu()`` by default.
        precision: "float32", "bfloat16" (mixed precision), or "auto": bfloat16 where the hardware
            gains from it.
        name: the run's place under ``runs/``, in results "chapter/model/variant".
        checkpoint: a file saved after every epoch. Where it exists, training resumes from it and
            ends where an uninterrupted run would have ended.

    Returns:
        The run's history. TensorBoard logs of the same numbers are in ``history.log_dir``.

    Raises:
        DivergedError: the loss became NaN or infinite.
        ValueError: arguments out of range, an optimiser of another net, a schedule of another
            optimiser, no images, or a checkpoint of another run.
    """
    if not isinstance(epochs, numbers.Integral) or epochs < 1:
        raise ValueError(f"epochs is {epochs!r}; expected an integer of at least 1")
    if (lr is None) == (optimizer is None):
        raise ValueError(f"lr is {lr!r} and optimizer is {optimizer!r}; give exactly one of them")
    if held_out(data) is None:
        raise ValueError("data.validation and data.test are both None; expected at least one")
    device = torch.device(device) if device is not None else try_gpu()
    precision = resolve_precision(precision, device)
    checkpoint = Path(checkpoint) if checkpoint is not None else None

    net.to(device, memory_format=memory_format(device))
    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=lr)
    _check_that_they_belong_together(net, optimizer, schedule)
    loss = loss or nn.functional.cross_entropy
    settings = {"name": name, "seed": seed, "epochs": epochs, "precision": precision, "loss": loss}
    if checkpoint is not None:
        state = Resumable(net, optimizer, schedule, data, device, settings)

    if checkpoint is not None and checkpoint.exists():
        history = state.load(checkpoint)
    else:
        _warn_if_trained(net)
        history = _new_history(net, data, name, seed, device, precision)
        _seed_everything(seed, data.train)
        if checkpoint is not None:  # an interrupted first epoch resumes like any other
            state.save(checkpoint, history)
    _trained_nets.add(net)

    if history.epochs < epochs:
        with (
            tensorboard(history, net, data) as writer,
            _progress(history, epochs, data.train) as bar,
        ):
            while history.epochs < epochs:
                _train_epoch(net, data.train, optimizer, schedule, loss, precision, history, bar)
                last = history.epochs == epochs
                _evaluate_epoch(net, data, history, last=last, precision=precision)
                log_epoch(writer, history)
                bar.set_postfix_str(_last_accuracies(history))
                if checkpoint is not None:
                    state.save(checkpoint, history)
    write_record(history)
    return history


def _train_epoch(net, loader, optimizer, schedule, loss, precision, history, bar) -> None:
    """One pass over the training set; appends the training curves to ``history``."""
    device = device_of(net)
    start, samples = time.perf_counter(), 0
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    net.train()
    for X, y in loader:
        X, y = to_device(X, device), y.to(device)
        with autocast(device, precision):
            y_hat = net(X)
        batch_loss = loss(y_hat.float(), y)
        optimizer.zero_grad()
        batch_loss.backward()
        optimizer.step()
        rate = optimizer.param_groups[0]["lr"]
        if schedule is not None:
            schedule.step()
        samples += len(y)
        loss_sum += batch_loss.detach() * len(y)
        correct += correct_mask(y_hat.detach(), y).sum()
        bar.update()
        # Reading a number back waits for a GPU to finish; on a CPU it costs nothing.
        if device.type == "cpu" and not math.isfinite(batch_loss.item()):
            break
    if samples == 0:
        raise ValueError("data.train is empty; expected at least one batch")
    if not math.isfinite(loss_sum.item()):
        raise DivergedError(_why_diverged(loader, samples, rate, history), history)
    history.train_samples = samples
    history.train_loss.append(loss_sum.item() / samples)
    history.train_accuracy.append(correct.item() / samples)
    history.learning_rate.append(rate)
    history.seconds.append(time.perf_counter() - start)


def _evaluate_epoch(net, data, history, *, last, precision) -> None:
    """Append the held-out curves; ``History`` says which set is evaluated when."""
    validation = getattr(data, "validation", None)
    if validation is not None:
        result = evaluate(net, validation, precision=precision)
        history.validation_loss.append(result.loss)
        history.validation_accuracy.append(result.accuracy)
    if data.test is not None and (validation is None or last):
        result = evaluate(net, data.test, precision=precision)
        history.test_loss.append(result.loss)
        history.test_accuracy.append(result.accuracy)


def _why_diverged(loader, samples, rate, history) -> str:
    epoch = history.epochs + 1
    if not all(bool(torch.isfinite(X).all()) for X, _ in loader):
        zh = "输入图像里有 NaN 或无穷大：检查数据"
        en = "the images hold NaN or infinity: check the data"
    else:
        zh = f"多半是学习率 {rate:g} 太大：试试它的十分之一，并重新创建网络"
        en = f"the learning rate {rate:g} is likely too high: make a new net and try a tenth of it"
    return (
        f"第 {epoch} 轮，{samples} 张图像之后，损失不再是有限的数。{zh}。\n"
        f"The loss is no longer finite, in epoch {epoch}, after {samples} images; {en}."
    )


def _warn_if_trained(net: nn.Module) -> None:
    if net in _trained_nets:
        warnings.warn(
            "这个网络已经训练过，现在接着训练；要从头开始，请在同一个单元格里重新创建它。\n"
            "This net has been trained before and is now trained on; to start afresh, make it anew "
            "in the same cell.",
            AlreadyTrainedWarning,
            stacklevel=3,
        )


def _check_that_they_belong_together(net, optimizer, schedule) -> None:
    own = {id(parameter) for parameter in net.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "the optimizer holds no parameter of this net, so nothing would be learned; "
            "make it anew, of net.parameters(), after the net"
        )
    if schedule is not None and getattr(schedule, "optimizer", optimizer) is not optimizer:
        raise ValueError(
            "the schedule is of another optimizer and would change nothing; "
            "give optimizer= the one that the schedule was made of, and no lr="
        )


def _seed_everything(seed: int, loader) -> None:
    torch.manual_seed(seed)
    if loader.generator is not None:
        loader.generator.manual_seed(seed)


def _new_history(net, data, name, seed, device, precision) -> History:
    X, _ = held_out(data).dataset[0]
    return History(
        name=name,
        source=getattr(data, "source", "unknown data"),
        seed=seed,
        device=describe(device),
        precision=precision,
        parameters=count_parameters(net),
        multiply_adds=count_multiply_adds(net, tuple(X.shape)),
        log_dir=str(_fresh_folder(folder("runs") / name, seed)),
        started=time.time(),
    )


def _fresh_folder(parent: Path, seed: int) -> Path:
    """Make a folder that no other run has, named after the time and the seed."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
    for attempt in range(1000):
        path = parent / (stem if attempt == 0 else f"{stem}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{parent / stem}: a thousand runs began in this second; wait a moment")


def _progress(history: History, epochs: int, loader):
    """One bar for the whole run; nothing where no person is looking."""
    from tqdm.auto import tqdm

    return tqdm(
        total=epochs * len(loader),
        initial=history.epochs * len(loader),
        desc=history.name,
        unit="batch",
        disable=not is_interactive(),
    )


def _last_accuracies(history: History) -> str:
    held_out = "validation" if history.validation_accuracy else "test"
    accuracies = getattr(history, f"{held_out}_accuracy")
    text = f"train accuracy {history.train_accuracy[-1]:.4f}"
    return f"{text}, {held_out} accuracy {accuracies[-1]:.4f}" if accuracies else text
