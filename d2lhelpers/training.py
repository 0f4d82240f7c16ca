"""The training loop of the course, its history, its TensorBoard logs and its checkpoints."""

import dataclasses
import json
import math
import numbers
import os
import platform
import shutil
import sys
import time
import warnings
import weakref
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from ._paths import folder, write_atomically
from .device import describe, device_of, has_bfloat16, try_gpu
from .display import is_interactive, say, show_images
from .metrics import accuracy, correct_mask, count_multiply_adds, count_parameters, evaluating

CURVES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "learning_rate",
    "seconds",
)

_trained_nets = weakref.WeakSet()


class DivergedError(RuntimeError):
    """The loss became NaN or infinite. ``history`` holds the epochs that ended before."""

    def __init__(self, message: str, history: "History"):
        super().__init__(message)
        self.history = history


class AlreadyTrainedWarning(UserWarning):
    """``train`` was given a net that it has trained before."""


class Evaluation(NamedTuple):
    """Mean loss and accuracy (a fraction in [0, 1]) over all samples of a data set."""

    loss: float
    accuracy: float


@dataclasses.dataclass
class History:
    """What one training run was and how it went.

    The curves have one entry an epoch. Losses are means over samples, accuracies fractions in
    [0, 1], ``learning_rate`` is the rate of the epoch's last step and ``seconds`` the wall time of
    the epoch's training, evaluation not included. Where the data has a validation set, it is
    evaluated after every epoch and the test set once, at the end: ``test_loss`` and
    ``test_accuracy`` then have one entry. Where it has none, the test set is evaluated after every
    epoch and the validation curves stay empty. ``train_samples`` counts the images of one epoch.
    """

    name: str
    source: str
    seed: int
    device: str
    precision: str
    parameters: int
    multiply_adds: int
    log_dir: str
    started: float
    train_samples: int = 0
    train_loss: list[float] = dataclasses.field(default_factory=list)
    train_accuracy: list[float] = dataclasses.field(default_factory=list)
    validation_loss: list[float] = dataclasses.field(default_factory=list)
    validation_accuracy: list[float] = dataclasses.field(default_factory=list)
    test_loss: list[float] = dataclasses.field(default_factory=list)
    test_accuracy: list[float] = dataclasses.field(default_factory=list)
    learning_rate: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return len(self.train_loss)

    def rows(self) -> list[dict]:
        """One dictionary an epoch, with the curves that have a value for every epoch."""
        full = [curve for curve in CURVES if len(getattr(self, curve)) == self.epochs]
        return [
            {"epoch": i + 1} | {curve: getattr(self, curve)[i] for curve in full}
            for i in range(self.epochs)
        ]

    def __repr__(self) -> str:
        last = {curve: getattr(self, curve)[-1] for curve in CURVES if getattr(self, curve)}
        numbers = ", ".join(f"{curve} {value:.4g}" for curve, value in last.items())
        return f"History of {self.name} on {self.source}: {self.epochs} epochs; last: {numbers}"

    def _repr_html_(self) -> str:
        rows = self.rows()
        if not rows:
            return f"<p>{self!r}</p>"
        head = "".join(f"<th>{column.replace('_', ' ')}</th>" for column in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{_short(value)}</td>" for value in row.values()) + "</tr>"
            for row in rows
        )
        caption = f"<caption>{self.name}, {self.source}, seed {self.seed}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def init_weights(module: nn.Module) -> None:
    """Xavier (Glorot) uniform weights for convolutions and fully connected layers; biases stay.

    For ``net.apply(init_weights)``. Source: Glorot and Bengio, "Understanding the difficulty of
    training deep feedforward neural networks", 2010, equation 16.

    >>> from torch import nn
    >>> layer = nn.Linear(300, 300)
    >>> init_weights(layer)
    >>> round(layer.weight.abs().max().item(), 2)  # the root of 6 / (300 + 300)
    0.1
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)


def init_he(module: nn.Module) -> None:
    """He (Kaiming) normal weights for convolutions and fully connected layers; biases zero.

    For ``net.apply(init_he)``. The variance 2/n, with n inputs to an output, keeps the size of the
    signal from layer to layer where ReLU follows. Source: He, Zhang, Ren and Sun, "Delving deep
    into rectifiers", 2015, equation 10.

    >>> from torch import nn
    >>> layer = nn.Linear(800, 1000)
    >>> init_he(layer)
    >>> round(layer.weight.std().item(), 2), layer.bias.any().item()
    (0.05, False)
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def predict(net: nn.Module, loader, *, precision: str = "float32"):
    """Class scores of ``net`` for every sample that ``loader`` yields, in its order.

    Runs in evaluation mode without gradients, on the device where ``net`` is; leaves the net's
    mode and the random state as they were.

    Args:
        net: maps images (B, C, H, W) to class scores (B, K).
        loader: yields ``(X, y)`` with y of shape (B,).
        precision: as for ``train``.

    Returns:
        scores float32 (N, K) and labels int64 (N,), both on the net's device.
    """
    device = device_of(net)
    precision = _resolve(precision, device)
    scores, labels = [], []
    with _without_a_trace(net), _autocast(device, precision):
        for X, y in loader:
            scores.append(net(_to_device(X, device)).float())
            labels.append(y.to(device))
    if not scores:
        raise ValueError("the loader is empty; expected at least one batch to predict")
    return torch.cat(scores), torch.cat(labels)


def evaluate(net: nn.Module, loader, *, precision: str = "float32") -> Evaluation:
    """Mean cross-entropy and accuracy of ``net`` over all samples of ``loader``, from one pass.

    Args:
        net, loader, precision: as for ``predict``.
    """
    scores, labels = predict(net, loader, precision=precision)
    return Evaluation(nn.functional.cross_entropy(scores, labels).item(), accuracy(scores, labels))


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
    if _held_out(data) is None:
        raise ValueError("data.validation and data.test are both None; expected at least one")
    device = torch.device(device) if device is not None else try_gpu()
    precision = _resolve(precision, device)
    checkpoint = Path(checkpoint) if checkpoint is not None else None

    net.to(device, memory_format=_memory_format(device))
    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=lr)
    _check_that_they_belong_together(net, optimizer, schedule)
    settings = {"name": name, "seed": seed, "epochs": int(epochs)}
    state = _Resumable(net, optimizer, schedule, data.train, device, settings)

    if checkpoint is not None and checkpoint.exists():
        history = state.load(checkpoint)
    else:
        _warn_if_trained(net)
        history = _new_history(net, data, name, seed, device, precision)
        _seed_everything(seed, data.train)
    _trained_nets.add(net)

    if history.epochs < epochs:
        with (
            _tensorboard(history, net, data) as writer,
            _progress(history, epochs, data.train) as bar,
        ):
            while history.epochs < epochs:
                _train_epoch(net, data.train, optimizer, schedule, loss, precision, history, bar)
                last = history.epochs == epochs
                _evaluate_epoch(net, data, history, last=last, precision=precision)
                _log_epoch(writer, history)
                bar.set_postfix_str(_last_accuracies(history))
                if checkpoint is not None:
                    state.save(checkpoint, history)
    _write_record(history)
    return history


def show_board() -> None:
    """Open TensorBoard on ``runs/`` inside the notebook; where no person looks, say how to.

    papermill, nbconvert and nbval therefore start no server that would outlive them.
    """
    logs = folder("runs")
    if not is_interactive():
        say(
            zh="打开 TensorBoard：make board，或 python -m tensorboard.main --logdir runs。",
            en="To open TensorBoard: make board, or python -m tensorboard.main --logdir runs.",
        )
        return
    from tensorboard import notebook

    # A kernel's PATH need not hold the folder of its own Python.
    program = shutil.which("tensorboard", path=Path(sys.executable).parent)
    if program is not None:
        os.environ.setdefault("TENSORBOARD_BINARY", program)
    notebook.start(f'--logdir "{logs.as_posix()}"')


def _train_epoch(net, loader, optimizer, schedule, loss, precision, history, bar) -> None:
    """One pass over the training set; appends the training curves to ``history``."""
    device = device_of(net)
    loss = loss or nn.functional.cross_entropy
    start, samples = time.perf_counter(), 0
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    net.train()
    for X, y in loader:
        X, y = _to_device(X, device), y.to(device)
        with _autocast(device, precision):
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


def _resolve(precision: str, device: torch.device) -> str:
    if precision not in ("float32", "bfloat16", "auto"):
        raise ValueError(f'precision is {precision!r}; expected "float32", "bfloat16" or "auto"')
    if precision == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    return precision


@contextmanager
def _without_a_trace(net: nn.Module):
    """Evaluation mode, no gradients, and the random state as if nothing had been drawn."""
    with evaluating(net), torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


def _autocast(device: torch.device, precision: str):
    # Some devices refuse to make an autocast at all, even one that is off.
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def _memory_format(device: torch.device) -> torch.memory_format:
    """Convolutions on CPU and CUDA are faster with channels last."""
    return torch.preserve_format if device.type == "mps" else torch.channels_last


def _to_device(X: torch.Tensor, device: torch.device) -> torch.Tensor:
    return X.to(
        device, memory_format=_memory_format(device) if X.ndim == 4 else torch.preserve_format
    )


def _seed_everything(seed: int, loader) -> None:
    torch.manual_seed(seed)
    if loader.generator is not None:
        loader.generator.manual_seed(seed)


def _new_history(net, data, name, seed, device, precision) -> History:
    X, _ = _held_out(data).dataset[0]
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


def _held_out(data):
    """Images as they come: augmentation may change even the size of training images."""
    return getattr(data, "validation", None) if data.test is None else data.test


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


class _Resumable:
    """All that decides how training goes on, saved to and loaded from one file."""

    def __init__(self, net, optimizer, schedule, loader, device, settings: dict):
        self.parts = {"net": net, "optimizer": optimizer}
        if schedule is not None:
            self.parts["schedule"] = schedule
        self.generator = loader.generator
        self.device = device
        self.settings = settings | {
            "parts": list(self.parts),
            "learning rates": [group["lr"] for group in optimizer.param_groups],
            "weights": {key: list(value.shape) for key, value in net.state_dict().items()},
        }

    def save(self, path: Path, history: History) -> None:
        state = {key: part.state_dict() for key, part in self.parts.items()}
        state["history"] = dataclasses.asdict(history)
        state["settings"] = self.settings
        state["rng"] = torch.get_rng_state()
        if self.generator is not None:
            state["generator"] = self.generator.get_state()
        if self.device.type == "cuda":
            state["device_rng"] = torch.cuda.get_rng_state(self.device)
        elif self.device.type == "mps":
            state["device_rng"] = torch.mps.get_rng_state()
        write_atomically(path, lambda partial: torch.save(state, partial))

    def load(self, path: Path) -> History:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            history, settings = History(**state["history"]), state["settings"]
        except Exception as error:
            raise ValueError(
                f"{path} is not a whole checkpoint ({error}); delete it to start from epoch 1"
            ) from error
        differing = [
            f"{key} {_brief(settings.get(key))} instead of {_brief(asked)}"
            for key, asked in self.settings.items()
            if settings.get(key) != asked
        ]
        if differing:
            raise ValueError(
                f"{path} is of another run than this call asks for: it has "
                f"{'; '.join(differing)}. Give another checkpoint path, or delete the file"
            )
        for key, part in self.parts.items():
            part.load_state_dict(state[key])
        torch.set_rng_state(state["rng"])
        if self.generator is not None:
            self.generator.set_state(state["generator"])
        if "device_rng" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["device_rng"], self.device)
        elif "device_rng" in state and self.device.type == "mps":
            torch.mps.set_rng_state(state["device_rng"])
        return history


def _brief(setting) -> str:
    """A network's weights would fill the screen: their number and size are enough."""
    if not isinstance(setting, dict):
        return repr(setting)
    return f"{len(setting)} tensors of {sum(map(math.prod, setting.values()))} numbers"


@contextmanager
def _tensorboard(history: History, net: nn.Module, data):
    """The run's SummaryWriter; a fresh run's graph and a grid of its images are already in it."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(history.log_dir, purge_step=history.epochs + 1) as writer:
        if history.epochs == 0:
            writer.add_text("data", history.source)
            with _without_a_trace(net), warnings.catch_warnings():
                X, y = next(iter(_held_out(data)))
                warnings.simplefilter("ignore", FutureWarning)  # add_graph traces with torch.jit
                writer.add_graph(net, _to_device(X[:1], device_of(net)))
                if hasattr(data, "mean"):  # else nobody knows the images' true colours
                    writer.add_figure("samples", show_images(X, y, data=data))
        yield writer


def _log_epoch(writer, history: History) -> None:
    """Write each curve's newest value under the curve's own name."""
    for curve in CURVES:
        values = getattr(history, curve)
        if values:
            writer.add_scalar(curve, values[-1], history.epochs)
    writer.flush()


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


def _write_record(history: History) -> None:
    """The run in one file beside its logs, for ``results.csv``."""
    versions = f"python {platform.python_version()}, torch {torch.__version__}"
    record = json.dumps(dataclasses.asdict(history) | {"versions": versions}, indent=1)
    path = Path(history.log_dir) / "run.json"
    write_atomically(path, lambda partial: partial.write_text(record + "\n", encoding="utf-8"))
