"""What a training can do without: TensorBoard's log and the progress bar."""

import io
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout

import torch
from torch import nn

from ._paths import folder
from .compute import copy_for_trial, uncompiled
from .device import device_of
from .evaluation import count_batches
from .history import CURVES, History
from .nets import count_multiply_adds
from .say import Text, is_interactive
from .untouched import without_a_trace

LOG = Text(zh="TensorBoard 日志", en="the TensorBoard log")
GRAPH = Text(zh="TensorBoard 里的计算图", en="the graph in TensorBoard")
SAMPLES = Text(zh="TensorBoard 里的样本图", en="the sample images in TensorBoard")
BAR = Text(zh="进度条", en="the progress bar")
RECORD = Text(zh="运行记录 run.json", en="the run's record, run.json")
COUNT = Text(zh="乘加次数", en="the number of multiply-adds")


class Extras:
    """What a training can do without: TensorBoard's log, the progress bar, the run's record.

    What fails is left out, and the first failure is said in a warning; training goes on.
    """

    def __init__(self):
        self.batches = 0  # trained by this call
        self._has_warned = False
        self._writer = self._bar = None

    def attempt(self, what: Text, action: Callable, *arguments, otherwise=None):
        """``action(*arguments)``, or ``otherwise`` where that fails."""
        try:
            return action(*arguments)
        except Exception as error:
            if not self._has_warned:
                self._has_warned = True
                _warn_without(what, error)
            return otherwise

    def count(self, net: nn.Module, image_shape: tuple[int, ...]) -> int:
        """Multiply-adds for one image; 0 where they cannot be counted."""
        return self.attempt(COUNT, _count, net, image_shape, otherwise=0)

    def fresh_folder(self, name: str, seed: int) -> str:
        """The run's own folder; "" where none can be made."""
        return self.attempt(LOG, _fresh_folder, name, seed, otherwise="")

    def record(self, history: History) -> None:
        """The run in one file beside its logs; not of a run that no epoch is known of."""
        if history.log_dir and history.epochs > 0:
            self.attempt(RECORD, history.write)

    @contextmanager
    def open(self, history: History, epochs: int, net: nn.Module, data, X: torch.Tensor):
        """Log and progress bar for a ``with`` block; ``X`` are images (B, ...) on any device."""
        if history.epochs == epochs:
            yield
            return
        if history.log_dir:
            self._writer = self.attempt(LOG, _open_log, history)
        if self._writer is not None and history.epochs == 0:
            self.attempt(LOG, self._writer.add_text, "data", history.source)
            self.attempt(GRAPH, _log_graph, self._writer, net, X)
            self.attempt(SAMPLES, _log_samples, self._writer, data, X)
        if is_interactive():
            self._bar = self.attempt(BAR, _open_bar, history, epochs, data.train)
        try:
            yield
        finally:
            if self._bar is not None:
                self.attempt(BAR, self._bar.close)
            if self._writer is not None:
                self.attempt(LOG, self._writer.close)

    def after_batch(self) -> None:
        self.batches += 1
        if self._bar is not None:
            self.attempt(BAR, self._bar.update)

    def after_epoch(self, history: History) -> None:
        if self._writer is not None:
            self.attempt(LOG, _log_epoch, self._writer, history)
        if self._bar is not None:
            self.attempt(BAR, self._bar.set_postfix_str, _last_accuracies(history))


def _warn_without(what: Text, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}".strip().split("\n")[0]
    warnings.warn(
        str(
            Text(
                zh=f"没有用上：{what.zh}（{reason}）。训练照常进行。",
                en=f"Training goes on without {what.en} ({reason}).",
            )
        ),
        stacklevel=6,  # the caller of train
    )


def _count(net: nn.Module, image_shape: tuple[int, ...]) -> int:
    try:
        net = copy_for_trial(net)  # a forward may count its own calls
    except Exception:  # some layers, of the older weight norm for example, have no copies
        net = uncompiled(net)
    return count_multiply_adds(net, image_shape)


def _fresh_folder(name: str, seed: int) -> str:
    """Make a folder that no other run has, named after the time and the seed."""
    parent = folder("runs") / name
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
    for attempt in range(1000):
        path = parent / (stem if attempt == 0 else f"{stem}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return str(path)
    raise FileExistsError(
        Text(
            zh=f"{parent / stem}：这一秒里已经开始了一千次训练；等一会儿再试。",
            en=f"{parent / stem}: a thousand runs began in this second; wait a moment.",
        )
    )


def _open_log(history: History):
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(history.log_dir, purge_step=history.epochs + 1)


def _log_graph(writer, net: nn.Module, X: torch.Tensor) -> None:
    net = copy_for_trial(net)
    device = device_of(net)
    # Tracing warns of much that is no fault of the net's, and prints where it fails.
    with without_a_trace(net, device), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        writer.add_graph(net, X[:1].to(device), use_strict_trace=False)


def _log_samples(writer, data, X: torch.Tensor) -> None:
    mean, std = getattr(data, "mean", None), getattr(data, "std", None)
    if mean is None or std is None or X.ndim != 4:
        return  # nobody knows the images' true colours
    mean, std = (torch.as_tensor(value).cpu().view(-1, 1, 1) for value in (mean, std))
    writer.add_images("samples", (X[:16].cpu() * std + mean).nan_to_num().clamp(0, 1))


def _log_epoch(writer, history: History) -> None:
    """Write each curve's newest value under the curve's own name."""
    for curve in CURVES:
        values = getattr(history, curve)
        if values:
            writer.add_scalar(curve, values[-1], history.epochs)
    writer.flush()


def _open_bar(history: History, epochs: int, loader):
    """One bar for the whole run."""
    from tqdm.auto import tqdm

    batches = count_batches(loader)
    return tqdm(
        total=None if batches is None else epochs * batches,
        initial=history.epochs * (batches or 0),
        desc=history.name,
        unit="batch",
    )


def _last_accuracies(history: History) -> str:
    part = "validation" if history.validation_accuracy else "test"
    accuracies = getattr(history, f"{part}_accuracy")
    text = f"train accuracy {history.train_accuracy[-1]:.4f}"
    return f"{text}, {part} accuracy {accuracies[-1]:.4f}" if accuracies else text
