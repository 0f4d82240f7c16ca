"""Helpers of the course: data, pictures, metrics, devices and training.

Everything that a notebook needs is importable from here:

>>> import d2lhelpers as d2l
>>> d2l.try_gpu().type in ("cuda", "mps", "cpu")
True
"""

from . import _interrupt  # noqa: F401  before what takes long to import
from ._style import use_style
from .augment import random_crop, random_flip, random_greyscale
from .board import show_board
from .confusion import plot_confusion
from .data import load_cifar10, load_mnist
from .device import device_report, try_all_gpus, try_gpu
from .divergence import DivergedError
from .drawing import draw_block, draw_network
from .evaluation import evaluate, predict
from .evidence import judge, judge_close
from .exercises import check, hint, solution
from .experiment import run_experiment
from .features import show_feature_maps, show_filters
from .images import show_images, show_worst
from .live import live
from .metrics import accuracy, confusion_matrix
from .nets import (
    count_multiply_adds,
    count_parameters,
    init_he,
    init_xavier,
    layer_gradients,
    layer_signals,
    layer_table,
)
from .plots import plot_history, plot_spreads
from .precision import has_bfloat16
from .recipe import (
    load_protocol_data,
    train_by_protocol,
    try_rates,
)
from .results import table
from .say import use_language
from .steps import steps_until
from .training import train

__all__ = [
    "DivergedError",
    "accuracy",
    "check",
    "confusion_matrix",
    "count_multiply_adds",
    "count_parameters",
    "device_report",
    "draw_block",
    "draw_network",
    "evaluate",
    "has_bfloat16",
    "hint",
    "init_he",
    "init_xavier",
    "judge",
    "judge_close",
    "layer_gradients",
    "layer_signals",
    "layer_table",
    "live",
    "load_cifar10",
    "load_mnist",
    "load_protocol_data",
    "plot_confusion",
    "plot_history",
    "plot_spreads",
    "predict",
    "random_crop",
    "random_flip",
    "random_greyscale",
    "run_experiment",
    "show_board",
    "show_feature_maps",
    "show_filters",
    "show_images",
    "show_worst",
    "solution",
    "steps_until",
    "table",
    "train",
    "train_by_protocol",
    "try_all_gpus",
    "try_gpu",
    "try_rates",
    "use_language",
    "use_style",
]
