"""What tells one training run from another, as plain values: what a checkpoint is compared by.

Only what stays the same while a run trains is taken, so that a net, an optimiser and a schedule
that an interrupted run has left behind are still known as those of that run. A function is known
by its name and the numbers it was given (``functools.partial``, a closure), not by its code.
"""

import hashlib
import numbers
import re
from collections.abc import Mapping, Sequence
from inspect import signature

import numpy as np
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset

LARGEST_HASHED = 2**20
"""Bytes of one array: of a larger one, rows spread evenly over it are enough."""

SEQUENCES = list | tuple | range

_MOMENTARY = {  # in PyTorch's schedules, with the names of earlier versions
    "optimizer",
    "last_epoch",
    "verbose",
    "T_cur",
    "T_i",
    "best",
    "num_bad_epochs",
    "cooldown_counter",
    "_step_count",
    "_last_lr",
    "_is_initial",
    "_initial_step",
    "_get_lr_called_within_step",
}


def run_settings(net, optimizer, schedule, data, others: dict) -> dict:
    """Every setting that the numbers of a run depend on, by a name that a learner can look up.

    Args:
        net, optimizer, schedule, data: as given to ``train``.
        others: further settings.

    Returns:
        A flat dict, such as ``{"optimizer.param_groups[0].momentum": 0.9, ...}``, of what
        ``torch.load`` reads with ``weights_only=True``. Floats have six digits: another machine's
        rounding makes no other run.
    """
    return _flat(
        {
            **{key: plain(value) for key, value in others.items()},
            "data": _data(data),
            "optimizer": type(optimizer).__name__,
            "len(optimizer.param_groups)": len(optimizer.param_groups),
            "optimizer.param_groups": _groups(net, optimizer, schedule),
            "schedule": None if schedule is None else _schedule(schedule),
            "net": {
                name: f"{type(module).__name__}({_without_addresses(module.extra_repr())})"
                for name, module in net.named_modules()
            },
            "net.state_dict": {
                key: f"{_shape(value)}{'' if value.requires_grad else ' frozen'}"
                for key, value in net.state_dict(keep_vars=True).items()
            },
        }
    )


def differences(saved: dict, asked: dict) -> list[tuple]:
    """``(name, value saved, value asked for)`` of every setting that differs.

    Options that only one version of PyTorch knows are those of no run.
    """
    common = saved.keys() & asked.keys()
    return [
        (name, saved.get(name), asked.get(name))
        for name in asked | saved
        if saved.get(name) != asked.get(name)
        and (name in common or not name.startswith(("optimizer.", "schedule.")))
    ]


def plain(value):
    """The value as numbers, texts, lists and dicts; large arrays and functions as a text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return _contents(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(f"{float(value):.6g}")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, SEQUENCES):
        if len(value) <= 16:
            return [plain(item) for item in value]
        if all(issubclass(kind, numbers.Real) for kind in set(map(type, value))):
            return _contents(np.array(value))
        return _hash_items(value)
    if isinstance(value, Dataset):
        return _dataset(value)
    if isinstance(value, nn.Module):
        settings = {key: item for key, item in vars(value).items() if _is_setting(key, item)}
        parts = dict(value.named_children()) | dict(value.named_buffers(recurse=False))
        return _call(_name(value), settings | parts)
    if hasattr(value, "__code__"):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        enclosed = {key: cell.cell_contents for key, cell in cells if _is_filled(cell)}
        known = {key: item for key, item in enclosed.items() if _is_setting(key, item)}
        return _call(_name(value), known)
    return _without_addresses(repr(value))


def _flat(settings: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in settings.items():
        name = prefix + (f".{key}" if prefix and key and not key.startswith("[") else key)
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            value = {f"[{index}]": item for index, item in enumerate(value)}
        flat |= _flat(value, name) if isinstance(value, dict) else {name: value}
    return flat


# ------------------------------------------------------------------------ optimiser and schedule


def _groups(net, optimizer, schedule) -> list[dict]:
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    cycled = any(getattr(part, "cycle_momentum", False) for part in _with_parts(schedule))
    groups = []
    for group in optimizer.param_groups:
        group = dict(group)
        group["params"] = ", ".join(names.get(id(p), "of another net") for p in group["params"])
        if schedule is not None:
            del group["lr"]  # of the moment; "initial_lr" stays
        if cycled:
            group.pop("momentum", None)
            if "betas" in group:
                group["betas"] = group["betas"][1:]
        groups.append({key: plain(value) for key, value in group.items()})
    return groups


def _schedule(schedule) -> dict:
    is_torchs = type(schedule).__module__ == "torch.optim.lr_scheduler"
    known = None if is_torchs else {"base_lrs", *signature(type(schedule)).parameters}
    constants = {
        key: plain(value)
        for key, value in getattr(schedule, "__dict__", {}).items()
        if key not in _MOMENTARY | {"_schedulers"} and (known is None or key in known)
    }
    parts = [_schedule(part) for part in getattr(schedule, "_schedulers", ())]
    return {"": type(schedule).__name__, **constants, "parts": parts}


def _with_parts(schedule):
    yield schedule
    for part in getattr(schedule, "_schedulers", ()):
        yield from _with_parts(part)


# ----------------------------------------------------------------------------------------- data


def _data(data) -> dict:
    described = {key: plain(getattr(data, key, None)) for key in ("source", "mean", "std")}
    for split in ("train", "validation", "test"):
        described[split] = _loader(getattr(data, split, None))
    return described


def _loader(loader) -> dict | None:
    if loader is None:
        return None
    if not isinstance(loader, DataLoader):
        return _listed(loader)
    described = {
        "": "DataLoader",
        "batch_size": loader.batch_size,
        "drop_last": loader.drop_last,
        "sampler": _sampler(loader.sampler),
    }
    if type(loader.batch_sampler) is not BatchSampler:
        described["batch_sampler"] = _sampler(loader.batch_sampler)
    return described | {"dataset": _dataset(loader.dataset)}


def _sampler(sampler) -> str:
    settings = {
        key: item
        for key, item in getattr(sampler, "__dict__", {}).items()
        if key != "data_source" and _is_data(item) and not isinstance(item, Dataset)
    }
    return _call(_name(sampler), settings)


def _dataset(dataset) -> dict:
    """The images and labels that it holds, and what is done to them; never where they lie."""
    described = _listed(dataset)
    held = {
        key: plain(value)
        for key, value in getattr(dataset, "__dict__", {}).items()
        if not key.startswith("_") and (_is_data(value) or _is_change(value))
    }
    if not held and hasattr(dataset, "__getitem__") and not isinstance(dataset, SEQUENCES):
        held["first label"] = _first_label(dataset)
    return described | held


def _listed(items) -> dict:
    described = {"": type(items).__name__, "len": len(items) if hasattr(items, "__len__") else None}
    if isinstance(items, SEQUENCES):
        described["contents"] = _hash_items(items)
    return described


def _hash_items(items: Sequence) -> str:
    """Of a list of arrays or of pairs (X, y): some of the images, and all labels."""
    sampled = [plain(items[index]) for index in _spread(len(items), 16)]
    labels = [item[-1] for item in items if isinstance(item, SEQUENCES) and len(item)]
    if set(map(type, labels)) == {torch.Tensor}:
        labels = torch.cat([label.reshape(-1) for label in labels])
    digest = hashlib.sha256(str([sampled, plain(labels)]).encode()).hexdigest()
    return f"{len(items)} items #{digest[:8]}"


def _first_label(dataset):
    """All that is known of images that are read one by one, perhaps changed at random."""
    try:
        with torch.random.fork_rng(devices=[]):
            return plain(dataset[0][1])
    except Exception:  # whatever a learner's own data set raises, training will say
        return None


def _is_data(value) -> bool:
    if isinstance(value, SEQUENCES):
        return all(map(_is_data, value[:100]))  # of a long list, as many as tell
    return isinstance(value, torch.Tensor | np.ndarray | numbers.Real | Dataset)


def _is_change(value) -> bool:
    return all(map(callable, value)) if isinstance(value, SEQUENCES) else callable(value)


# --------------------------------------------------------------------------------------- values


def _contents(array: torch.Tensor | np.ndarray | np.generic):
    """A small array's numbers; a large one's shape, type and hash."""
    array = array.detach() if isinstance(array, torch.Tensor) else np.asarray(array)
    if np.prod(array.shape) <= 16:
        return plain(array.tolist())
    rows = array
    if array.nbytes > LARGEST_HASHED:
        count = min(64, max(1, LARGEST_HASHED * len(array) // array.nbytes))
        rows = array[_spread(len(array), count)]
    if isinstance(rows, torch.Tensor):
        rows = rows.cpu().contiguous().view(torch.uint8).numpy()
    digest = hashlib.sha256(rows.tobytes()).hexdigest()
    return f"{_shape(array)} {str(array.dtype).removeprefix('torch.')} #{digest[:8]}"


def _spread(length: int, count: int) -> list[int]:
    return np.linspace(0, max(length - 1, 0), min(count, length)).astype(int).tolist()


def _shape(array: torch.Tensor | np.ndarray) -> str:
    return "×".join(map(str, array.shape)) or "1"


def _name(value) -> str:
    return getattr(value, "__qualname__", type(value).__name__)


def _call(name: str, arguments: Mapping) -> str:
    if not arguments:
        return name
    return f"{name}({', '.join(f'{key}={plain(item)}' for key, item in arguments.items())})"


def _is_setting(key: str, value) -> bool:
    if isinstance(value, SEQUENCES):
        return all(_is_setting(key, item) for item in value)
    is_value = value is None or isinstance(value, numbers.Real | str | np.generic)
    return is_value and not key.startswith("_") and key != "training"


def _is_filled(cell) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
