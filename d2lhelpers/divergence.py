"""A loss that is no longer finite ends a run; the run's history says so."""

import math

import torch

from .evaluation import held_out_loaders
from .history import History
from .say import Text


class DivergedError(RuntimeError):
    """The loss became NaN or infinite.

    ``history`` is that of the run; its last epoch is NaN in every curve.
    """

    def __init__(self, message: str | Text, history: History):
        super().__init__(message)
        self.history = history


def append(entry: dict[str, float], history: History, data) -> None:
    """Add an epoch, and its entry to the curves.

    Raises:
        DivergedError: a loss is not finite. The entry is then NaN in every curve, also in the
            test set's, which would have had one at the end.
    """
    losses = [key for key in entry if key.endswith("_loss")]
    infinite = [key for key in losses if not math.isfinite(entry[key])]
    error = None
    if infinite:
        error = DivergedError(_why_diverged(infinite[0], entry, history, data), history)
        parts = ("train", *held_out_loaders(data))
        curves = [f"{part}_{metric}" for part in parts for metric in ("loss", "accuracy")]
        entry = dict.fromkeys([*curves, "learning_rate", "seconds"], math.nan)
    history.train_samples = entry.pop("train_samples", history.train_samples)
    for curve, value in entry.items():
        getattr(history, curve).append(value)
    history.epochs += 1
    if error is not None:
        raise error


def _why_diverged(curve: str, entry: dict[str, float], history: History, data) -> Text:
    part = curve.removesuffix("_loss")
    epoch, samples, rate = history.epochs + 1, entry["train_samples"], entry["learning_rate"]
    if all(bool(torch.isfinite(X).all()) for X, _ in getattr(data, part)):
        zh = f"多半是学习率 {rate:g} 太大：试试它的十分之一，并重新创建网络"
        en = f"the learning rate {rate:g} is likely too high: make a new net and try a tenth of it"
    else:
        zh = f"data.{part} 的图像里有 NaN 或无穷大：检查数据"
        en = f"the images of data.{part} hold NaN or infinity: check the data"
    names = {"train": "训练", "validation": "验证", "test": "测试"}
    name = {"train": "training"}.get(part, part)
    return Text(
        zh=f"第 {epoch} 轮，{samples} 张图像之后，{names[part]}损失不再是有限的数。{zh}。",
        en=f"The {name} loss is no longer finite, in epoch {epoch}, after {samples} images; {en}.",
    )
