"""Helpers of the course: data, pictures, metrics, devices and training.

Everything that a notebook needs is importable from here:

>>> import d2lhelpers as d2l
>>> d2l.try_gpu().type in ("cuda", "mps", "cpu")
True
"""

from .augment import random_crop, random_flip, random_greyscale
from .data import ImageData, load_cifar10, load_mnist
from .device import device_report, has_bfloat16, try_all_gpus, try_gpu
from .display import (
    is_interactive,
    plot_confusion,
    plot_history,
    plot_spreads,
    run_table,
    say,
    show_feature_maps,
    show_filters,
    show_images,
    show_worst,
    use_style,
    verdict,
)
from .exercises import check, hint, solution
from .layers import layer_gradients, layer_signals
from .metrics import (
    accuracy,
    confusion_matrix,
    correct_mask,
    count_correct,
    count_multiply_adds,
    count_parameters,
    is_higher,
    layer_table,
    standard_error,
)
from .protocol import (
    best_rate,
    judge_rate,
    load_protocol_data,
    one_cycle,
    train_at_best_rate,
    train_by_protocol,
    try_rates,
)
from .results import over_seeds, report, spread_table
from .training import (
    DivergedError,
    History,
    evaluate,
    init_he,
    init_weights,
    predict,
    show_board,
    train,
)

__all__ = [
    "DivergedError",
    "History",
    "ImageData",
    "accuracy",
    "best_rate",
    "check",
    "confusion_matrix",
    "correct_mask",
    "count_correct",
    "count_multiply_adds",
    "count_parameters",
    "device_report",
    "evaluate",
    "has_bfloat16",
    "hint",
    "init_he",
    "init_weights",
    "is_higher",
    "is_interactive",
    "judge_rate",
    "layer_gradients",
    "layer_signals",
    "layer_table",
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
    "train",
    "train_at_best_rate",
    "train_by_protocol",
    "try_all_gpus",
    "try_gpu",
    "try_rates",
    "use_style",
    "verdict",
]
