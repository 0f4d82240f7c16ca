"""Where to compute: an NVIDIA (or AMD) GPU, an Apple GPU, or the CPU, without drama."""

from __future__ import annotations

import functools
import sys
import textwrap
import warnings
from typing import NamedTuple

import torch
from torch import nn

from .precision import has_bfloat16
from .say import Spoken, Text

__all__ = ["describe", "device_of", "device_report", "try_all_gpus", "try_gpu"]


class _Missing(NamedTuple):
    """Why no CUDA device is used, and what a learner can do about it."""

    why: Text
    advice: Text
    is_fault: bool  # something is broken, as opposed to "no such GPU here"


def try_gpu(i: int = 0) -> torch.device:
    """The best device there is: CUDA device ``i``, else the Apple GPU (i = 0 only), else the CPU.

    A CUDA device is taken only if it can run a kernel, so a GPU that is too old for the
    installed PyTorch leads to the CPU and not to an error later. Where a GPU or its driver
    has a fault, a warning says so, once per process; no GPU at all is not worth a warning.

    Args:
        i: the number of the CUDA device, from 0.

    Raises:
        TypeError: ``i`` is not an int.
        ValueError: ``i`` is negative.

    >>> try_gpu(99)
    device(type='cpu')
    """
    if not isinstance(i, int) or isinstance(i, bool):
        raise TypeError(
            Text(
                zh=f"i 应是 GPU 的编号，一个 int；得到的是 {i!r}。",
                en=f"i must be the number of a GPU, an int; got {i!r}.",
            )
        )
    if i < 0:
        raise ValueError(
            Text(
                zh=f"i 应是 GPU 的编号，从 0 数起；得到的是 {i}。",
                en=f"i must be the number of a GPU, 0 or more; got {i}.",
            )
        )
    fault = _fault(i)
    if fault:
        _warn_once(
            Text(
                zh=f"没有用 GPU：{fault.why.zh}{fault.advice.zh}",
                en=f"Not using a GPU: {fault.why.en} {fault.advice.en}",
            )
        )
    return _best(i)


def try_all_gpus() -> list[torch.device]:
    """All CUDA devices that work; where there are none ``[mps]``, else ``[cpu]``.

    >>> len(try_all_gpus()) >= 1
    True
    """
    count = 0 if _no_cuda() else torch.cuda.device_count()
    return [torch.device("cuda", i) for i in range(count) if _is_usable(i)] or [_best(0)]


def device_of(net: nn.Module) -> torch.device:
    """Where ``net`` is: the device of its first parameter, the CPU where it has none.

    >>> device_of(nn.Linear(2, 3)), device_of(nn.ReLU())
    (device(type='cpu'), device(type='cpu'))
    """
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def describe(device: torch.device | str) -> str:
    """What ``device`` is, in a few words: a GPU's name and memory, or the CPU's threads.

    In English, as a run's record keeps it.

    >>> describe("cpu").startswith("CPU with ")
    True
    """
    return _description_of(torch.device(device)).en


def _description_of(device: torch.device) -> Text:
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        memory = f"{gpu.total_memory / 2**30:.0f} GiB"
        return Text(zh=f"{gpu.name}，{memory} 显存", en=f"{gpu.name} with {memory} of memory")
    if device.type == "mps":
        return Text(zh="苹果 GPU", en="Apple GPU")
    threads = torch.get_num_threads()
    return Text(
        zh=f"CPU，{threads} 个线程", en=f"CPU with {threads} thread{'s' if threads != 1 else ''}"
    )


def device_report() -> Spoken:
    """A few lines for a reader: the device that ``try_gpu`` takes, and why.

    They name the GPU and its memory, or the number of CPU threads; the version of PyTorch;
    whether bfloat16 is fast there; and, without a GPU, the reason and what can be done. In the
    chosen language, or in both, Chinese first.

    >>> from d2lhelpers import use_language
    >>> use_language("en")
    >>> print(device_report())  # doctest: +SKIP
    Device: CPU with 2 threads (torch.device('cpu'))
    PyTorch: 2.14.1+cu130
    bfloat16: fast here, so mixed precision pays off
    GPU: none in use, because no NVIDIA driver was found. If this machine has an NVIDIA GPU,
        install its driver; otherwise all is well: the course runs on the CPU, only more slowly.
    >>> use_language(None)
    """
    device = _best(0)
    name, fast = _description_of(device), has_bfloat16(device)
    zh = [
        f"设备：{name.zh}（torch.device('{device}')）",
        f"PyTorch：{torch.__version__}",
        f"bfloat16：{'在这里快，混合精度合算' if fast else '在这里不快，用 float32 更好'}",
    ]
    gain = "fast here, so mixed precision pays off"
    en = [
        f"Device: {name.en} (torch.device('{device}'))",
        f"PyTorch: {torch.__version__}",
        f"bfloat16: {gain if fast else 'no gain here, so float32 is the better choice'}",
    ]
    if device.type == "cpu":
        missing = _no_cuda() or _broken_gpu(0)
        zh.append(f"GPU：没有用，因为{missing.why.zh}{missing.advice.zh}")
        en.append(f"GPU: none in use, because {missing.why.en} {missing.advice.en}")
        if "google.colab" in sys.modules:
            zh.append(_WITHOUT_GPU_ON_COLAB.zh)
            en.append(_WITHOUT_GPU_ON_COLAB.en)
    en = [textwrap.fill(line, 88, subsequent_indent="    ") for line in en]
    return Spoken(Text(zh="\n".join(zh), en="\n".join(en)))


# As README.md says; Colab gives about two CPU cores.
_WITHOUT_GPU_ON_COLAB = Text(
    zh="没有 GPU，完整运行一章，在带 AMX 的双核 CPU 上约半小时，第 7 章更久；"
    "别的 CPU 要两倍或更多。要 GPU：菜单“代码执行程序”→“更改运行时类型”，选一种 GPU。"
    "只想看看：把 parameters 单元格里的 EPOCHS 和 TRAIN_SIZE 改小。",
    en="Without a GPU a full run of a chapter takes about half an hour on two cores with AMX, "
    "longer for chapter 7, and twice as long or more on other CPUs. For a GPU: menu "
    '"Runtime", "Change runtime type", and choose one. For a quick look, lower EPOCHS and '
    "TRAIN_SIZE in the parameters cell.",
)

# --- CUDA: what is there, and what is wrong with it ------------------------------------------

_ON_CPU = Text(
    zh="没有也不要紧：课程在 CPU 上照样运行，只是慢些。",
    en="otherwise all is well: the course runs on the CPU, only more slowly.",
)
_UPDATE = Text(
    zh="请更新驱动（https://www.nvidia.com/drivers），或安装适合驱动的 CUDA 版本的 PyTorch"
    "（https://pytorch.org/get-started）。在那之前用 CPU。",
    en="Update the driver (https://www.nvidia.com/drivers), or install the PyTorch build for your "
    "driver's CUDA version (https://pytorch.org/get-started). The CPU is used until then.",
)


@functools.cache  # torch never looks for a driver a second time within one process either
def _no_cuda() -> _Missing | None:
    """Why PyTorch sees no CUDA device; None where it sees one."""
    if not torch.backends.cuda.is_built():
        return _Missing(
            Text(
                zh="安装的 PyTorch 不带 CUDA。",
                en="this PyTorch was built without CUDA.",
            ),
            Text(
                zh="如果这台机器有 NVIDIA GPU，请安装带 CUDA 的 PyTorch"
                f"（https://pytorch.org/get-started）；{_ON_CPU.zh}",
                en="If this machine has an NVIDIA GPU, install a CUDA build of PyTorch "
                f"(https://pytorch.org/get-started); {_ON_CPU.en}",
            ),
            is_fault=False,
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    # is_available() warns of a driver that is too old, but only the first time in a process;
    # init() names the cause whenever it is asked.
    problem = _tidy(caught[-1].message) if caught else _init_error()
    if "no NVIDIA driver" in problem:
        return _Missing(
            Text(zh="没有找到 NVIDIA 驱动。", en="no NVIDIA driver was found."),
            Text(
                zh=f"如果这台机器有 NVIDIA GPU，请安装驱动；{_ON_CPU.zh}",
                en=f"If this machine has an NVIDIA GPU, install its driver; {_ON_CPU.en}",
            ),
            is_fault=False,
        )
    if "GPUs are available" in problem:
        return _Missing(
            Text(zh="驱动没有给出 GPU。", en="the driver shows no GPU."),
            Text(
                zh=f"如果应该有，请看看 $CUDA_VISIBLE_DEVICES；{_ON_CPU.zh}",
                en=f"If there should be one, look at $CUDA_VISIBLE_DEVICES; {_ON_CPU.en}",
            ),
            is_fault=False,
        )
    why = Text(
        zh=f"PyTorch 用不了 GPU 的驱动，它说：{problem}",
        en=f"PyTorch cannot use the GPU's driver. It says: {problem}",
    )
    return _Missing(why, _UPDATE, is_fault=True)


def _init_error() -> str:
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return _tidy(error)
    return "no reason"


def _tidy(message: Exception | Warning) -> str:
    """The first line of PyTorch's text, without its own advice and the place in its source."""
    line = str(message).strip().split("\n")[0].removeprefix("CUDA initialization: ")
    return line.split(" (Triggered internally")[0].split(" Please update")[0]


@functools.cache
def _kernel_error(i: int) -> str:
    """What goes wrong when CUDA device ``i`` computes 1 + 1; empty where all goes well."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an old GPU; the result is what counts
            torch.ones(1, device=torch.device("cuda", i)).add(1).item()
    except RuntimeError as error:
        return _tidy(error)
    return ""


def _best(i: int) -> torch.device:
    if _is_usable(i):
        return torch.device("cuda", i)
    return torch.device("mps" if i == 0 and torch.backends.mps.is_available() else "cpu")


def _is_usable(i: int) -> bool:
    return not _no_cuda() and i < torch.cuda.device_count() and not _kernel_error(i)


def _fault(i: int) -> _Missing | None:
    """What is broken about CUDA device ``i``; None where it works or simply is not there."""
    missing = _no_cuda()
    if missing:
        return missing if missing.is_fault else None
    is_broken = i < torch.cuda.device_count() and _kernel_error(i)
    return _broken_gpu(i) if is_broken else None


def _broken_gpu(i: int) -> _Missing:
    name, problem = torch.cuda.get_device_name(i), _kernel_error(i)
    why = Text(
        zh=f"{name} 一计算就出错，它说：{problem} ",
        en=f"{name} fails on a first computation. It says: {problem}",
    )
    advice = Text(
        zh="它可能太旧，这个 PyTorch 不支持，也可能正忙：https://pytorch.org/get-started "
        "列出了支持它的版本。在那之前用 CPU。",
        en="It may be too old for this PyTorch, or busy: see https://pytorch.org/get-started for "
        "a build that supports it. The CPU is used until then.",
    )
    return _Missing(why, advice, is_fault=True)


@functools.cache
def _warn_once(text: Text) -> None:
    warnings.warn(str(text), stacklevel=3)
