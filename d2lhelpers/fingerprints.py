"""What tells one training run from another, as plain values: what a checkpoint is compared by.

Only what stays the same while a run trains is taken, so that a net, an optimiser and a schedule
that an interrupted run has left behind are still known as those of that run. A function is known
by its name, its code and what it was given, a learner's class by what is run of it in training.
"""

from inspect import signature

from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset

from .functions import have_other_code, is_librarys, without_code
from .values import (
    attributes,
    call,
    dataset_of,
    is_data,
    listed,
    name_of,
    own_code,
    plain,
    shape_of,
    without_addresses,
)

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
            "optimizer": type(optimizer).__name__ + own_code(optimizer, "step"),
            "len(optimizer.param_groups)": len(optimizer.param_groups),
            "optimizer.param_groups": _groups(net, optimizer, schedule),
            "schedule": None if schedule is None else _schedule(schedule),
            "net": {name: _module(module) for name, module in net.named_modules()},
            "net.state_dict": {
                key: f"{shape_of(value)}{'' if value.requires_grad else ' frozen'}"
                for key, value in net.state_dict(keep_vars=True).items()
                if isinstance(value, Tensor)  # a module's extra state is not
            },
        }
    )


def differences(saved: dict, asked: dict) -> list[tuple]:
    """``(name, value saved, value asked for)`` of every setting that differs.

    Options that only one version of PyTorch knows are those of no run. One Python's code says
    nothing of another's.
    """
    common = saved.keys() & asked.keys()
    return [
        (name, saved.get(name), asked.get(name))
        for name in asked | saved
        if _differ(saved.get(name), asked.get(name))
        and (name in common or not name.startswith(("optimizer.", "schedule.")))
    ]


def _differ(saved, asked) -> bool:
    if have_other_code(saved, asked):
        return without_code(saved) != without_code(asked)
    both_nan = saved != saved and asked != asked
    return saved != asked and not both_nan


def _module(module: nn.Module) -> dict:
    description = f"{type(module).__name__}({without_addresses(module.extra_repr())})"
    if type(module).__module__.startswith("torch."):  # its extra_repr tells it all
        return {"": description}
    settings = {key: plain(item) for key, item in attributes(module, "forward").items()}
    return {"": description + own_code(module, "forward")} | settings


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
    name = type(schedule).__name__ + own_code(schedule, "step")
    return {"": name, **constants, "parts": parts}


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
        around = {
            key: _loader(value)
            for key, value in getattr(loader, "__dict__", {}).items()
            if isinstance(value, DataLoader)
        }
        return listed(loader) | around
    described = {
        "": "DataLoader",
        "batch_size": loader.batch_size,
        "drop_last": loader.drop_last,
        "sampler": _sampler(loader.sampler),
    }
    if type(loader.batch_sampler) is not BatchSampler:
        described["batch_sampler"] = _sampler(loader.batch_sampler)
    if not is_librarys(loader.collate_fn):
        described["collate_fn"] = plain(loader.collate_fn)
    return described | {"dataset": dataset_of(loader.dataset)}


def _sampler(sampler) -> str:
    settings = {
        key: item
        for key, item in getattr(sampler, "__dict__", {}).items()
        if key != "data_source" and is_data(item) and not isinstance(item, Dataset)
    }
    return call(name_of(sampler), settings)
