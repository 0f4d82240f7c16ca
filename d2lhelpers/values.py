"""Values of any kind as numbers, texts, lists and dicts that are the same in another process.

Neither addresses nor absolute paths get in; a learner's own function is known by its code.
"""

import hashlib
import numbers
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from reprlib import recursive_repr
from types import BuiltinFunctionType

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from .functions import code_of, referred_to, written_by
from .randomness import random_state_kept

LARGEST_HASHED = 2**20
"""Bytes of one array: of a larger one, rows spread evenly over it are enough."""

SEQUENCES = list | tuple | range


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
        return dataset_of(value)
    return _described(value)


@recursive_repr("…")  # an object may lead back to itself
def _described(value) -> str:
    """Of an object all that can be told, for it to be known in another process."""
    if isinstance(value, partial):
        arguments = {str(index): item for index, item in enumerate(value.args)}
        return call("partial", {"function": value.func} | arguments | value.keywords)
    if isinstance(value, nn.Module):
        parts = dict(value.named_children()) | dict(value.named_buffers(recurse=False))
        description = call(name_of(value), attributes(value, "forward") | parts)
        return description + own_code(value, "forward")
    if hasattr(value, "__code__"):
        found = {key: item for key, item in referred_to(value).items() if _can_be_told(item)}
        held_by = getattr(value, "__self__", None)
        if held_by is not None and _can_be_told(held_by):
            found["self"] = held_by
        return call(name_of(value), found) + code_of(value)
    if _is_plain_callable(value):
        return call(name_of(value), attributes(value, "__call__")) + own_code(value, "__call__")
    return without_addresses(repr(value))


def attributes(value, method: str) -> dict:
    """What an object was given; not what its ``method``, which is run in training, assigns."""
    momentary = {"training"} | written_by(getattr(type(value), method))
    return {
        key: item
        for key, item in vars(value).items()
        if not key.startswith("_") and key not in momentary and _can_be_told(item)
    }


def own_code(value, method: str) -> str:
    """The code of a method, where the learner has written the object's class."""
    return code_of(getattr(type(value), method, None))


def dataset_of(dataset) -> dict:
    """The images and labels that it holds, and what is done to them; never where they lie."""
    described = listed(dataset)
    described[""] += own_code(dataset, "__getitem__")
    held = {
        key: plain(value)
        for key, value in getattr(dataset, "__dict__", {}).items()
        if not key.startswith("_") and (is_data(value) or _is_change(value))
    }
    if not held and hasattr(dataset, "__getitem__") and not isinstance(dataset, SEQUENCES):
        held["first label"] = _first_label(dataset)
    return described | held


def listed(items) -> dict:
    described = {"": type(items).__name__, "len": _length(items)}
    if isinstance(items, SEQUENCES):
        described["contents"] = _hash_items(items)
    return described


def _length(items) -> int | None:
    try:
        return len(items)
    except TypeError:  # of several streams, for example
        return None


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
        with random_state_kept(torch.device("cpu")):
            return plain(dataset[0][1])
    except Exception:  # whatever a learner's own data set raises, training will say
        return None


def is_data(value) -> bool:
    if isinstance(value, SEQUENCES):
        return all(map(is_data, value[:100]))  # of a long list, as many as tell
    return isinstance(value, torch.Tensor | np.ndarray | numbers.Real | Dataset)


def _is_change(value) -> bool:
    return all(map(callable, value)) if isinstance(value, SEQUENCES) else callable(value)


def _contents(array: torch.Tensor | np.ndarray | np.generic):
    """A small array's numbers; a large one's shape, type and hash."""
    array = array.detach() if isinstance(array, torch.Tensor) else np.asarray(array)
    if np.prod(array.shape) <= 16 or array.dtype == object:
        return plain(array.tolist())
    rows = array
    if array.nbytes > LARGEST_HASHED:
        count = min(64, max(1, LARGEST_HASHED * len(array) // array.nbytes))
        rows = array[_spread(len(array), count)]
    if isinstance(rows, torch.Tensor):
        rows = rows.cpu().contiguous().view(torch.uint8).numpy()
    digest = hashlib.sha256(rows.tobytes()).hexdigest()
    return f"{shape_of(array)} {str(array.dtype).removeprefix('torch.')} #{digest[:8]}"


def _spread(length: int, count: int) -> list[int]:
    return np.linspace(0, max(length - 1, 0), min(count, length)).astype(int).tolist()


def shape_of(array: torch.Tensor | np.ndarray) -> str:
    return "×".join(map(str, array.shape)) or "1"


def name_of(value) -> str:
    return getattr(value, "__qualname__", type(value).__name__)


def call(name: str, arguments: Mapping) -> str:
    if not arguments:
        return name
    return f"{name}({', '.join(f'{key}={plain(item)}' for key, item in arguments.items())})"


def _can_be_told(value) -> bool:
    """No place in the file system, nothing that learns, and no object of unknown contents."""
    if isinstance(value, str):
        return not Path(value).is_absolute()
    if isinstance(value, SEQUENCES):
        return all(map(_can_be_told, value))
    if isinstance(value, Mapping):
        return all(map(_can_be_told, value.values()))
    if isinstance(value, torch.Tensor):
        return not value.requires_grad
    if isinstance(value, nn.Module):
        return next(value.parameters(), None) is None
    known = numbers.Real | np.generic | np.ndarray | Enum | torch.dtype
    if value is None or isinstance(value, known | partial) or hasattr(value, "__code__"):
        return True
    return isinstance(value, BuiltinFunctionType) or _is_plain_callable(value)


def _is_plain_callable(value) -> bool:
    return callable(value) and not isinstance(value, type) and hasattr(value, "__dict__")


def without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
