"""Helpers of the course: data, pictures, metrics, devices and training.

Everything that a notebook needs is importable from here:

>>> import d2lhelpers as d2l
>>> d2l.try_gpu().type in ("cuda", "mps", "cpu")
True
"""

from ._first_edition import is_higher, one_cycle, verdict
from ._style import use_style
from .augment import random_crop, random_flip, random_greyscale
from .board import show_board
from .confusion import plot_confusion
from .data import ImageData, load_cifar10, load_mnist
from .device import device_report, try_all_gpus, try_gpu
from .drawing import draw_block, draw_network
from .evaluation import evaluate, predict
from .evidence import judge, judge_close, standard_error
from .exercises import check, hint, solution
from .experiment import run_experiment
from .features import show_feature_maps, show_filters
from .history import History, run_table, table
from .images import show_images, show_worst
from .live import live
from .metrics import accuracy, confusion_matrix, correct_mask, count_correct
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
    judge_rate,
    load_protocol_data,
    train_by_protocol,
    try_rates,
)
from .results import over_seeds, report, spread_table
from .say import Text, is_interactive, say, use_language
from .steps import steps_until
from .training import DivergedError, train

__all__ = [
    "DivergedError",
    "History",
    "ImageData",
    "Text",
    "accuracy",
    "check",
    "confusion_matrix",
    "correct_mask",
    "count_correct",
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
    "is_higher",
    "is_interactive",
    "judge",
    "judge_close",
    "judge_rate",
    "layer_gradients",
    "layer_signals",
    "layer_table",
    "live",
    "load_cifar10",
    "load_mnist",
    "load_protocol_data",
    "one_cycle",
    "over_seeds",
    "plot_confusion",
    "plot_history",
    "plot_spreads",
    "predict",
    "random_crop",
    "random_flip",
    "random_greyscale",
    "report",
    "run_experiment",
    "run_table",
    "say",
    "show_board",
    "show_feature_maps",
    "show_filters",
    "show_images",
    "show_worst",
    "solution",
    "spread_table",
    "standard_error",
    "steps_until",
    "table",
    "train",
    "train_by_protocol",
    "try_all_gpus",
    "try_gpu",
    "try_rates",
    "use_language",
    "use_style",
    "verdict",
]
