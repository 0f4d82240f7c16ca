"""All that decides how a training goes on, in one file: what ``train`` resumes from."""

import contextlib
import copy
import dataclasses
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from ._paths import folder, write_atomically
from .batches import generators_of
from .fingerprints import differences, run_settings
from .history import History, current_execution
from .randomness import random_state, seed_all, set_random_state
from .say import Text

MOST_SHOWN = 4
"""Differing settings named in one message: other data alone differs in a dozen."""


REQUIRED = ("net", "optimizer", "history", "settings", "momentary", "generators", "random")


class Resumable:
    """All that decides how training goes on, saved to and loaded from one file.

    Args:
        net, optimizer, schedule, data, device: what is trained, and on what.
        settings: further ones of the run, that a checkpoint has to share with it.
    """

    def __init__(self, net, optimizer, schedule, data, device, settings: dict):
        self.parts = {"net": net, "optimizer": optimizer}
        if isinstance(settings["loss"], torch.nn.Module) and settings["loss"].state_dict():
            self.parts["loss"] = settings["loss"]  # it may learn, or count
        if schedule is not None:
            self.parts["schedule"] = schedule
            _check_can_resume(schedule)
        self.generators = generators_of(data.train)
        self.device = device
        self.described = net, optimizer, schedule, data
        self.others = settings | {"generators": len(self.generators)}
        self.settings = self._settings()
        self.momentary: set[str] = set()

    def _settings(self) -> dict:
        """``run_settings`` as they are now; nothing is drawn for them."""
        states = [generator.get_state() for generator in self.generators]
        settings = run_settings(*self.described, self.others)
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)
        return settings

    def _changes(self) -> set[str]:
        """Names of what looks like a setting, but has changed while the run trained.

        A data set's cache, say, or a counter: no sign of another run.
        """
        return {name for name, *_ in differences(self.settings, self._settings())}

    def save(self, path: Path, history: History) -> None:
        """Replace the file in one step.

        Raises:
            OSError: it cannot be written; the file before is as it was.
            TypeError: the optimiser or schedule holds what no checkpoint can hold.
        """
        state = {"net": self.parts["net"].state_dict()}
        for key in self.parts.keys() - {"net"}:
            state[key] = _storable(self.parts[key].state_dict(), key)
        state["history"] = _storable(dataclasses.asdict(history), "history")
        state["history"]["log_dir"] = Path(history.log_dir).name  # of any machine's runs folder
        state["settings"] = self.settings
        self.momentary |= self._changes()
        state["momentary"] = sorted(self.momentary)
        state["random"] = random_state(self.device)
        state["generators"] = [generator.get_state() for generator in self.generators]
        _write(state, path)

    def note_changes(self, path: Path) -> None:
        """Tell the file what has changed since it was saved, in an epoch that was stopped."""
        with contextlib.suppress(ValueError, OSError):  # then it is as it was, and resumes as well
            state = _read(path)
            _write(state | {"momentary": sorted({*state["momentary"], *self._changes()})}, path)

    def load(self, path: Path) -> History:
        """Bring everything to where the file's run was, and return its history.

        Raises:
            ValueError: it is no whole checkpoint, or one of another run; nothing was changed.
        """
        state = _read(path)
        self.momentary = set(state["momentary"])
        found = differences(state["settings"], self.settings)
        differing = [each for each in found if each[0] not in self.momentary]
        if differing:
            raise ValueError(_of_another_run(path, differing))
        self.settings = state["settings"]
        before = {key: copy.deepcopy(part.state_dict()) for key, part in self.parts.items()}
        try:
            self._restore(state)
        except Exception as error:
            for key, part in self.parts.items():
                part.load_state_dict(before[key])
            raise ValueError(_not_whole(path, " ".join(str(error).split()))) from None
        history = History(**state["history"])
        name = Path(history.log_dir).name or f"resumed-seed{history.seed}"
        log_dir = folder("runs") / history.name / name
        with contextlib.suppress(OSError):  # whoever logs there will say so, and go on without
            log_dir.mkdir(parents=True, exist_ok=True)
        history.log_dir = str(log_dir)
        history.execution = current_execution()
        return history

    def _restore(self, state: dict) -> None:
        for key, part in self.parts.items():
            part.load_state_dict(state[key])
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)
        seed_all(state["history"]["seed"], self.device)  # the file may be another device's
        set_random_state(state["random"], self.device)


def _check_can_resume(schedule) -> None:
    if not (hasattr(schedule, "state_dict") and hasattr(schedule, "load_state_dict")):
        given = type(schedule).__name__
        raise ValueError(
            Text(
                zh=f"schedule 是 {given}，没有 state_dict 和 load_state_dict，检查点存不了它。"
                "请继承 torch.optim.lr_scheduler.LRScheduler，或者不用 checkpoint=。",
                en=f"schedule is a {given} without state_dict and load_state_dict, which a "
                "checkpoint needs; derive it from torch.optim.lr_scheduler.LRScheduler, or train "
                "without checkpoint=.",
            )
        )


def _write(state: dict, path: Path) -> None:
    try:
        write_atomically(path, lambda partial: torch.save(state, partial))
    except (OSError, RuntimeError) as error:  # on a full disk torch raises the latter
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OSError(
            Text(
                zh=f"检查点 {path} 写不进去（{reason}）。磁盘满了，或者这个文件夹不能写。"
                "原来的文件没有动。腾出空间后重新运行这个单元格，训练会接着进行；"
                "也可以在 checkpoint= 里换一个位置。",
                en=f"the checkpoint {path} cannot be written ({reason}): the disk is full, or "
                "the folder is not writable. The file before, if any, is as it was. Make room "
                "and run this cell again to go on, or give checkpoint= another place.",
            )
        ) from error


def _read(path: Path) -> dict:
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch, about files not its own
            state = torch.load(path, map_location="cpu", weights_only=True)
        state = {key: state[key] for key in REQUIRED} | state
        history = History(**state["history"])
        is_whole = isinstance(state["settings"], dict) and not history.wrong_fields()
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ValueError(_not_whole(path, reason)) from None  # torch advises no weights_only
    if not is_whole:
        raise ValueError(_not_whole(path))
    return state


def _not_whole(path: Path, reason: str | None = None) -> Text:
    return Text(
        zh=f"{path} 不是完整的检查点{f'（{reason}）' if reason else ''}："
        "它被截断或损坏，或者是别的程序、别的版本写的。"
        "删掉它，就从第 1 轮开始训练；也可以在 checkpoint= 里换一个文件名。",
        en=f"{path} is not a whole checkpoint{f' ({reason})' if reason else ''}: it is cut "
        "short, damaged, or written by another program or version. Delete it to start "
        "from epoch 1, or give checkpoint= another file name.",
    )


def _of_another_run(path: Path, differing: list[tuple]) -> Text:
    zh, en = [], []
    for name, saved, asked in differing[:MOST_SHOWN]:
        zh.append(f"  {name}：文件里是 {saved!r}，这次给的是 {asked!r}")
        en.append(f"  {name}: {saved!r} in the file, {asked!r} asked for")
    more = len(differing) - MOST_SHOWN
    if more > 0:
        zh.append(f"  还有 {more} 处不同")
        en.append(f"  and {more} more")
    return Text(
        zh=f"{path} 属于另一次训练，不能接着用：\n"
        + "\n".join(zh)
        + "\n改回文件里的设置，就接着训练；要按这次的设置从头训练，"
        "请在 checkpoint= 里换一个文件名，或删掉这个文件。",
        en=f"{path} belongs to another run than this call asks for:\n"
        + "\n".join(en)
        + "\nGo back to the file's settings to resume; to train anew with these, give "
        "checkpoint= another file name, or delete the file.",
    )


def _storable(value, part: str):
    """The same with Python's own numbers: NumPy's make a file that is not safe to read."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, Counter):
        return value
    if isinstance(value, dict):
        return {_storable(key, part): _storable(item, part) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)([_storable(item, part) for item in value])
    if value is None or isinstance(value, bool | int | float | str | bytes | torch.Tensor):
        return value
    raise TypeError(
        Text(
            zh=f"{part} 的状态里有一个 {type(value).__name__}，检查点存不了；"
            "只能是数、文字、张量，以及它们的列表和字典。不用 checkpoint= 也能训练。",
            en=f"the state of {part} holds a {type(value).__name__}, which a checkpoint cannot "
            "hold; expected numbers, texts, tensors, and lists and dicts of them. Or train "
            "without checkpoint=.",
        )
    )
