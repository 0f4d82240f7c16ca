"""TensorBoard: what a run logs for it, and how to open it."""

import os
import shutil
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from ._paths import folder
from .device import device_of
from .evaluation import held_out, to_device, without_a_trace
from .history import CURVES, History
from .images import draw_images
from .say import is_interactive, say


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


@contextmanager
def tensorboard(history: History, net: nn.Module, data):
    """The run's SummaryWriter; a fresh run's graph and a grid of its images are already in it."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(history.log_dir, purge_step=history.epochs + 1) as writer:
        if history.epochs == 0:
            writer.add_text("data", history.source)
            with without_a_trace(net), warnings.catch_warnings():
                X, y = next(iter(held_out(data)))
                warnings.simplefilter("ignore", FutureWarning)  # add_graph traces with torch.jit
                writer.add_graph(net, to_device(X[:1], device_of(net)))
                if hasattr(data, "mean"):  # else nobody knows the images' true colours
                    writer.add_figure("samples", draw_images(X, y, data=data))
        yield writer


def log_epoch(writer, history: History) -> None:
    """Write each curve's newest value under the curve's own name."""
    for curve in CURVES:
        values = getattr(history, curve)
        if values:
            writer.add_scalar(curve, values[-1], history.epochs)
    writer.flush()
