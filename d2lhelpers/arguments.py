"""Single arguments of a training, each checked for being what it must be."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Mapping
from os import PathLike
from pathlib import Path, PurePath

import torch
from torch import nn

from .say import Text


def check_numbers(epochs, lr, seed) -> tuple[int, float | None, int]:
    """Python, NumPy and tensor scalars alike, as Python numbers.

    Raises:
        ValueError: out of range, or no number of that kind.
    """
    epochs = _whole("epochs", epochs)
    if epochs < 1:
        raise ValueError(
            Text(
                zh=f"epochs 是 {epochs}；至少要 1 轮。",
                en=f"epochs is {epochs}; expected an integer of at least 1.",
            )
        )
    if lr is not None:
        lr = check_rate(lr)
    return epochs, lr, _check_seed(seed)


def _check_seed(value) -> int:
    seed = _whole("seed", value)
    if not -(2**63) <= seed < 2**63:
        raise ValueError(
            Text(
                zh=f"seed 是 {seed}；PyTorch 的种子在 -2**63 到 2**63 - 1 之间。",
                en=f"seed is {seed}; PyTorch's seeds lie between -2**63 and 2**63 - 1.",
            )
        )
    return seed


def _is_bool(value) -> bool:
    return str(getattr(value, "dtype", type(value).__name__)).endswith("bool")


def _whole(name: str, value) -> int:
    try:
        if _is_bool(value):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ValueError(
            Text(
                zh=f"{name} 是 {value!r}；请给一个整数。",
                en=f"{name} is {value!r}; expected an integer.",
            )
        ) from None


def check_rate(value) -> float:
    try:
        rate = math.nan if isinstance(value, str) or _is_bool(value) else float(value)
    except (TypeError, ValueError, RuntimeError):
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise ValueError(
            Text(
                zh=f"lr 是 {value!r}；请给一个不小于 0 的数，例如 lr=0.1。",
                en=f"lr is {value!r}; expected a number of at least 0, such as lr=0.1.",
            )
        )
    return rate


def check_rates(rates) -> list[float]:
    """The learning rates to try, in their order.

    Raises:
        ValueError: a single number instead of several, or one that is no learning rate.
    """
    return [check_rate(rate) for rate in _several("rates", rates, "(0.05, 0.1, 0.2)")]


def check_seeds(seeds) -> list[int]:
    """As ``check_rates``, of seeds; none may come twice, which would be no further draw."""
    seeds = [_check_seed(seed) for seed in _several("seeds", seeds, "(0, 1, 2)")]
    if len(set(seeds)) < len(seeds):
        raise ValueError(
            Text(
                zh=f"seeds 里有重复：{seeds}；同一个种子的结果一样，请各写一次。",
                en=f"seeds holds one twice: {seeds}; the same seed gives the same result, so name "
                "each once.",
            )
        )
    return seeds


def check_name(name) -> str:
    """The place of a run's logs below ``runs/``.

    Raises:
        ValueError: no text, an empty one, or one that leads out of that folder.
    """
    parts = PurePath(name).parts if isinstance(name, str) else ()
    if not parts or ".." in parts or PurePath(name).is_absolute():
        raise ValueError(
            Text(
                zh=f'name 是 {name!r}；请给 runs/ 下面的一个位置，例如 "chapter/model/variant"。',
                en=f"name is {name!r}; expected a place below runs/, such as "
                '"chapter/model/variant".',
            )
        )
    return name


def check_checkpoint(path) -> Path | None:
    """The file of a checkpoint, with ``~`` for the home folder; None without one.

    Raises:
        ValueError: no path, or that of a folder.
    """
    if path is None:
        return None
    is_path = isinstance(path, str | PathLike)
    file = Path(path).expanduser() if is_path else Path("checkpoints")
    if not is_path or file.is_dir():
        given, example = type(path).__name__, file / "net.pt"
        raise ValueError(
            Text(
                zh=f"checkpoint={path!s} 是{'文件夹' if is_path else f' {given}'}；"
                f"请给一个文件，例如 {example}。",
                en=f"checkpoint={path!s} is a {'folder' if is_path else given}; expected a file, "
                f"such as {example}.",
            )
        )
    return file


def _several(name: str, values, example: str) -> list:
    try:
        if isinstance(values, str):
            raise TypeError
        return list(values)
    except TypeError:
        raise ValueError(
            Text(
                zh=f"{name} 是 {values!r}；请给几个数，例如 {name}={example}。",
                en=f"{name} is {values!r}; expected several numbers, such as {name}={example}.",
            )
        ) from None


# ------------------------------------------------------------------------ data, device and net


def check_normalisation(data) -> None:
    """Raises:
    TypeError: the data do not say what their images were standardised with.
    """
    if getattr(data, "mean", None) is None or getattr(data, "std", None) is None:
        given = type(data).__name__
        raise TypeError(
            Text(
                zh=f"data 是 {given}，没有 mean 和 std；请给 load_mnist 或 load_cifar10 的返回值。",
                en=f"data is a {given} without mean and std; expected what load_mnist or "
                "load_cifar10 returned.",
            )
        )


def check_device(device) -> torch.device:
    """Raises:
    ValueError: there is no such device, or not here.
    """
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except Exception as error:  # of many kinds, by device and version
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            Text(
                zh=f"device 是 {str(device)!r}，在这里用不了（{reason}）。去掉 device=，"
                '就会用这里最好的设备；也可以写 device="cpu"。',
                en=f"device is {str(device)!r}, which cannot be used here ({reason}); leave "
                'device= out to get the best device there is, or give device="cpu".',
            )
        ) from None
    return device


def check_net(net, data=None) -> None:
    """Refuse what is no net; ``data`` is the argument that follows it.

    Raises:
        ValueError: a class, a function, nothing, a list of layers, or the data.
    """
    if isinstance(net, nn.Module):
        return
    given = type(net).__name__
    zh, en = "请给网络，即 nn.Module 的对象", "expected a net, an object of nn.Module"
    if isinstance(data, nn.Module):
        zh, en = "网络和 data 的位置反了，先写网络", "net and data are swapped, the net comes first"
    elif isinstance(net, type):
        given = net.__name__
        zh, en = f"这是类；请加上括号，写成 {given}()", f"that is a class; add brackets, {given}()"
    elif inspect.isroutine(net):
        given = net.__name__
        zh = f"这是函数；请给它造出的网络，例如 {given}()"
        en = f"that is a function; give the net that it makes, such as {given}()"
    elif isinstance(net, list | tuple):
        zh, en = "请把层放进 nn.Sequential(*层)", "put the layers into nn.Sequential(*layers)"
    raise ValueError(
        Text(zh=f"net 得到的是 {given}；{zh}。", en=f"the net given is {given}: {en}.")
    )


def check_has_parameters(net: nn.Module) -> None:
    """Raises:
    ValueError: nothing in the net can learn, as when its layers are in a Python list.
    """
    if next(net.parameters(), None) is not None:
        return
    hidden = [
        f"self.{name}"
        for module in net.modules()
        for name, value in vars(module).items()
        if isinstance(value, list | tuple) and any(isinstance(layer, nn.Module) for layer in value)
    ]
    zh, en = (
        "至少要有一层带权重，例如 nn.Linear",
        "expected a layer with weights, such as nn.Linear",
    )
    if hidden:
        zh = f"{hidden[0]} 是 Python 的列表，PyTorch 看不到里面的层；请写成 nn.ModuleList(…)"
        en = f"PyTorch does not see the layers in the list {hidden[0]}; use nn.ModuleList(…)"
    raise ValueError(
        Text(zh=f"网络没有参数，没有东西可学。{zh}。", en=f"the net has no parameters: {en}.")
    )


def check_makers(variants) -> None:
    """Raises:
    ValueError: no dict from names to functions that make a net anew.
    """
    if not isinstance(variants, Mapping):
        raise ValueError(
            Text(
                zh=f"variants 是 {type(variants).__name__}；请给一个字典，从名字到造网络的函数。",
                en=f"variants is a {type(variants).__name__}; expected a dict from names to "
                "functions that make a net.",
            )
        )
    for name, make_net in variants.items():
        check_maker(make_net, name)


def check_maker(make_net, name: str) -> None:
    if isinstance(make_net, nn.Module) or not callable(make_net):
        given = type(make_net).__name__
        raise ValueError(
            Text(
                zh=f"{name}：得到的是 {given}；请给一个每次都造新网络的函数，"
                "例如 lambda: nn.Sequential(…)。",
                en=f"{name} is a {given}; expected a function that makes a new net each time, such "
                "as lambda: nn.Sequential(…).",
            )
        )


# ---------------------------------------------------------------------------------------- loss


def check_loss(loss) -> None:
    """Raises:
    ValueError: the loss is a class instead of an object, or no function.
    """
    if isinstance(loss, type):
        name = loss.__name__
        raise ValueError(
            Text(
                zh=f"loss 是类 {name}；请加上括号，写成 loss=nn.{name}()。",
                en=f"loss is the class {name}; add brackets, loss=nn.{name}().",
            )
        )
    if loss is not None and not callable(loss):
        raise ValueError(
            Text(
                zh=f"loss 是 {loss!r}；请给一个函数，例如 nn.CrossEntropyLoss()。",
                en=f"loss is {loss!r}; expected a function, such as nn.CrossEntropyLoss().",
            )
        )
