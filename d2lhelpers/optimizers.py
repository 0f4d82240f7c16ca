"""Do optimiser and learning-rate schedule fit the net and the training?

A schedule is stepped after every mini-batch here. Those of PyTorch are often meant to be stepped
once an epoch, which is the commonest mistake.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator

import torch
from torch import is_tensor, nn
from torch.optim import lr_scheduler

from .say import Text


def check_optimizer(net: nn.Module, optimizer) -> None:
    """Refuse an optimiser that would not train ``net``, warn of one that trains it in part.

    Raises:
        ValueError: it is no optimiser, needs a closure, tells no learning rate, or is of another
            net; or all of the net is frozen.
    """
    is_optimizer = all(hasattr(optimizer, name) for name in ("param_groups", "step", "zero_grad"))
    if isinstance(optimizer, str | type) or not is_optimizer:
        name = getattr(optimizer, "__name__", str(optimizer)).lower()
        known = {key.lower(): key for key in vars(torch.optim) if key[0].isupper()}
        call = f"torch.optim.{known.get(name, 'Adam')}(net.parameters(), lr=…)"
        raise ValueError(
            Text(
                zh=f"optimizer 是 {optimizer!r}；请给优化器对象：{call}。",
                en=f"optimizer is {optimizer!r}; expected an optimiser object, {call}.",
            )
        )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        name = type(optimizer).__name__
        raise ValueError(
            Text(
                zh=f"{name} 每一步要多次计算损失（closure），这里每个小批量只前向传播一次。"
                "请用 SGD、Adam 等。",
                en=f"{name} computes the loss several times a step (a closure), but here each "
                "mini-batch has one forward pass; use SGD or Adam, for example.",
            )
        )
    if not all("lr" in group for group in optimizer.param_groups):
        name = type(optimizer).__name__
        raise ValueError(
            Text(
                zh=f'{name} 的 param_groups 里没有 "lr"，而每一轮都要记下学习率。自己写的优化器，'
                '请写 super().__init__(params, {"lr": lr})，哪怕学习率不变。',
                en=f'the param_groups of {name} have no "lr", but the learning rate of each epoch '
                'is recorded; in an optimiser of your own write super().__init__(params, {"lr": '
                "lr}), even where the rate is fixed.",
            )
        )
    _check_parameters(net, optimizer)


def move_state(optimizer: torch.optim.Optimizer) -> None:
    """Bring an optimiser's state to where its parameters are: Adagrad makes it in advance."""
    for parameter, state in getattr(optimizer, "state", {}).items():
        tensors = [value for key, value in state.items() if key != "step" and is_tensor(value)]
        if any(value.device != parameter.device for value in tensors):
            optimizer.load_state_dict(optimizer.state_dict())  # which moves all as each needs it
            return


def _check_parameters(net: nn.Module, optimizer) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    trainable = {name: id(p) for name, p in net.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError(
            Text(
                zh="网络里没有可训练的参数，全部冻结了（requires_grad=False）。"
                "请给要训练的层设 layer.requires_grad_(True)。",
                en="the net has no trainable parameter, all are frozen (requires_grad=False); "
                "call layer.requires_grad_(True) for the layers that are to learn.",
            )
        )
    missing = [name for name, key in trainable.items() if key not in held]
    if len(missing) == len(trainable):
        raise ValueError(
            Text(
                zh="优化器里没有这个网络的可训练参数，什么也学不到。请在建好网络之后，"
                "用 net.parameters() 重新建立优化器。",
                en="the optimizer holds no parameter of this net that is trainable, so nothing "
                "would be learned; make it anew, of net.parameters(), after the net.",
            )
        )
    if not missing:
        return
    names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    foreign = held - {id(p) for p in net.parameters()}
    if foreign:
        raise ValueError(
            Text(
                zh=f"优化器里没有 {names}，却有 {len(foreign)} 个不属于这个网络的张量：多半是建立"
                "优化器之后换了层。请在换好层之后重新建立优化器。",
                en=f"the optimizer lacks {names} and holds {len(foreign)} tensors that are not "
                "the net's: a layer was likely replaced after the optimizer was made. Make it "
                "anew.",
            )
        )
    warnings.warn(
        str(
            Text(
                zh=f"优化器里没有 {names}，这些参数不会改变。如果这是有意的，"
                "可以用 requires_grad_(False) 冻结它们。",
                en=f"The optimizer lacks {names}, which will not learn. If that is intended, "
                "freeze them with requires_grad_(False).",
            )
        ),
        stacklevel=4,
    )


def check_schedule(schedule, optimizer, epochs: int, batches: int | None, *, resumes: bool) -> None:
    """Refuse a schedule that would fail or ruin the training, and offer the call that was meant.

    Args:
        schedule: a scheduler of ``torch.optim.lr_scheduler``, or an object like one, or None.
        optimizer: the one that is trained with.
        epochs: of the training.
        batches: mini-batches of an epoch, None where nobody knows.
        resumes: whether a checkpoint will set the schedule's own step.

    Raises:
        ValueError: see above, or it is no schedule, or that of another optimiser.
    """
    if schedule is None:
        return
    _check_kind(schedule, epochs, batches)
    if getattr(schedule, "optimizer", optimizer) is not optimizer:
        raise ValueError(
            Text(
                zh="schedule 属于另一个优化器，什么也不会改变。请把建立 schedule 时用的优化器"
                "传给 optimizer=，不要再写 lr=。",
                en="the schedule is of another optimizer and would change nothing; give "
                "optimizer= the one that the schedule was made of, and no lr=.",
            )
        )
    if isinstance(schedule, lr_scheduler.ReduceLROnPlateau):
        call = f"CosineAnnealingLR(optimizer, T_max={_steps(epochs, batches)})"
        raise ValueError(
            Text(
                zh="ReduceLROnPlateau 要看每一轮的损失，而这里每个小批量之后学习率就走一步，"
                f"用不了。可以改用 torch.optim.lr_scheduler.{call}。",
                en="ReduceLROnPlateau watches the loss of each epoch, but here the rate is stepped "
                f"after every mini-batch; use torch.optim.lr_scheduler.{call}, for example.",
            )
        )
    if batches is None:
        return
    _check_length(schedule, epochs, batches, resumes)
    end = epochs * batches + (0 if resumes else getattr(schedule, "last_epoch", 0))
    for part, part_end in _parts(schedule, end):
        _check_part(part, part_end)
        meant = _meant_call(part, epochs, batches, part is schedule) if batches > 1 else None
        if meant is not None:
            raise ValueError(
                _counted_in_epochs(f"{type(part).__name__}(optimizer, {meant})", batches)
            )


def _check_kind(schedule, epochs: int, batches: int | None) -> None:
    """Refuse a class, a name, a number or an optimiser in a schedule's place."""
    is_schedule = callable(getattr(schedule, "step", None)) and not isinstance(schedule, type)
    if is_schedule and not hasattr(schedule, "param_groups"):
        return
    call = f"torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={_steps(epochs, batches)})"
    given = schedule.__name__ if isinstance(schedule, type) else repr(schedule)
    raise ValueError(
        Text(
            zh=f"schedule 是 {given}；请给一个有 step() 的学习率调度对象，例如 {call}。",
            en=f"schedule is {given}; expected a schedule object that has step(), such as {call}.",
        )
    )


def _steps(epochs: int, batches: int | None) -> str:
    return "epochs * len(data.train)" if batches is None else f"{epochs} * {batches}"


def _parts(schedule, end: int) -> Iterator[tuple[object, int]]:
    """The schedule, or all that it is made of, and up to which of its own steps each is run."""
    parts = getattr(schedule, "_schedulers", None)
    if parts is None:
        yield schedule, end
        return
    starts, ends = [0] * len(parts), [end] * len(parts)
    if isinstance(schedule, lr_scheduler.SequentialLR):  # one after the other
        starts = [0, *schedule._milestones]
        ends = [*(min(end, milestone) for milestone in schedule._milestones), end]
    for part, first, last in zip(parts, starts, ends, strict=True):
        yield from _parts(part, last - first)


def _meant_call(schedule, epochs: int, batches: int, is_whole: bool) -> str | None:
    """The arguments that were meant where the schedule makes sense only counted in epochs.

    That is where it has run its course within the first ``epochs`` mini-batches, or the rate
    all but vanishes. One that is not part of another should not end in a tenth of the training.
    """
    soon = max(epochs, epochs * batches // 10) if is_whole else epochs
    kinds = lr_scheduler
    match schedule:
        case kinds.StepLR(step_size=size, gamma=gamma):
            if _vanishes(gamma, epochs // size, epochs * batches // size):
                return f"step_size={size} * {batches}, gamma={gamma:g}"
        case kinds.ExponentialLR(gamma=gamma):
            if _vanishes(gamma, epochs, epochs * batches):
                return f"gamma={gamma:g} ** (1 / {batches})"
        case kinds.MultiStepLR(milestones=milestones, gamma=gamma):
            if gamma < 1 and milestones and max(milestones) <= soon:
                drops = sorted(milestones.elements())
                if drops[-1] > epochs:  # of a longer training: here in equal parts
                    drops = [epochs * i // (len(drops) + 1) for i in range(1, len(drops) + 1)]
                steps = ", ".join(f"{epoch} * {batches}" for epoch in drops)
                return f"milestones=[{steps}], gamma={gamma:g}"
        case kinds.CosineAnnealingLR(T_max=length):
            if length <= soon:
                return f"T_max={min(length, epochs)} * {batches}"
        case kinds.CosineAnnealingWarmRestarts(T_0=length, T_mult=factor):
            if length <= epochs and 4 * length <= batches:  # several restarts in the first epoch
                return f"T_0={length} * {batches}, T_mult={factor}"
        case kinds.PolynomialLR(total_iters=length):
            if length <= soon:
                return f"total_iters={min(length, epochs)} * {batches}"
        case kinds.LinearLR(start_factor=start, end_factor=end, total_iters=length):
            if length <= epochs and end < start:  # else a warm-up, which may take a few batches
                factors = f"start_factor={start:g}, end_factor={end:g}"
                return f"{factors}, total_iters={length} * {batches}"
    return None


def _vanishes(gamma: float, drops_by_epoch: int, drops_by_batch: int) -> bool:
    """Whether the rate ends below a hundredth of its start, and counted in epochs would not."""
    if gamma >= 1:
        return False
    by_epoch, by_batch = gamma**drops_by_epoch, gamma**drops_by_batch
    looks_like_epochs = drops_by_epoch > 0 and by_epoch < 0.95
    return by_batch < 0.01 and (looks_like_epochs or by_batch < 1e-8)


def _counted_in_epochs(call: str, batches: int) -> Text:
    return Text(
        zh="这个 schedule 像是按轮数设的。这里每个小批量之后学习率就走一步，一轮有 "
        f"{batches} 步。请写：torch.optim.lr_scheduler.{call}。"
        "如果本来就是按步数设的，请写成 LambdaLR。",
        en="the schedule looks counted in epochs, but it is stepped after every mini-batch, "
        f"{batches} times an epoch; write torch.optim.lr_scheduler.{call}, or, should steps be "
        "meant, a LambdaLR.",
    )


def _check_part(part, end: int) -> None:
    """A one-cycle schedule within another fails beyond its last step, too."""
    if isinstance(part, lr_scheduler.OneCycleLR) and part.total_steps < end:
        raise ValueError(
            Text(
                zh=f"schedule 里面的 OneCycleLR 有 {part.total_steps} 步，而训练要走它的 {end} 步。"
                f"请写：OneCycleLR(optimizer, max_lr=…, total_steps={end})。",
                en=f"the OneCycleLR within the schedule has {part.total_steps} steps, but the "
                f"training takes {end} of it; write OneCycleLR(optimizer, max_lr=…, "
                f"total_steps={end}).",
            )
        )


def _check_length(schedule, epochs: int, batches: int, resumes: bool) -> None:
    """A one-cycle schedule must have the steps of the training; it fails beyond the last."""
    if not isinstance(schedule, lr_scheduler.OneCycleLR):
        return
    steps = epochs * batches
    left = schedule.total_steps - (0 if resumes else schedule.last_epoch)
    text = Text(
        zh=f"OneCycleLR 还有 {left} 步，而训练有 {steps} 步"
        f"（{epochs} 轮，每轮 {batches} 个小批量）。请写：OneCycleLR(optimizer, "
        f"max_lr=…, total_steps={epochs} * {batches})。",
        en=f"the OneCycleLR has {left} steps left, but the training has {steps} ({epochs} epochs "
        f"of {batches} mini-batches); write OneCycleLR(optimizer, max_lr=…, "
        f"total_steps={epochs} * {batches}).",
    )
    if left < steps:
        raise ValueError(text)
    if left > 1.1 * steps:  # legitimate, if more training follows
        warnings.warn(str(text), stacklevel=4)
