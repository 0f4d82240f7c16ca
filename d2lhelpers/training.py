"""The training loop of the course."""

import math
import time
import warnings
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from .arguments import (
    check_checkpoint,
    check_device,
    check_has_parameters,
    check_loss,
    check_name,
    check_net,
    check_numbers,
)
from .batches import generators_of, images_explained, mean_loss, pair_of
from .checkpoints import Resumable
from .compute import (
    Compute,
    main_output,
    materialise,
    resolve_precision,
)
from .device import describe, try_gpu
from .divergence import append
from .evaluation import count_batches, held_out_loaders, measure, predict_with
from .extras import Extras
from .history import History
from .metrics import correct_mask
from .nets import count_parameters
from .optimizers import check_optimizer, check_schedule, move_state
from .preflight import check_data, empty, first_batches, rehearse
from .randomness import random_state_kept, seed_all
from .say import Text, is_at_prompt, say
from .untouched import in_training_mode, weights_in

_trained_nets = weakref.WeakSet()


class AlreadyTrainedWarning(UserWarning):
    """``train`` was given a net that it has trained before."""


def train(
    net: nn.Module,
    data,
    *,
    epochs: int,
    lr: float | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    schedule=None,
    loss=None,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: str = "float32",
    name: str = "scratch",
    checkpoint: str | Path | None = None,
) -> History:
    """Train ``net`` on ``data.train`` and evaluate it after every epoch.

    One forward pass a batch gives loss, gradient and training accuracy; training figures are
    therefore those of the net as it was while it learned. The seed fixes batch order, augmentation
    and dropout (not the initial weights: seed before making the net).

    The global random state (of Python, NumPy and torch), the net's memory format and the modes of
    its layers are afterwards what they were. Layers in ``eval()``, such as frozen batch
    normalisation, stay so while the rest is trained; a net that is in ``eval()`` as a whole is
    trained as a whole. What fails of TensorBoard or the progress bar is left out with a warning.

    Where a notebook's cell is stopped, the epochs that ended before are shown and returned, so
    that ``history = train(...)`` holds them, and the code after it goes on. In a script, and
    before the end of the first epoch, ``KeyboardInterrupt`` goes on upwards.

    Args:
        net: maps images (B, C, H, W) to class scores (B, K). Moved to ``device``, trained in place.
            Of several outputs only ``logits`` or ``out``, or else the first, enters the loss.
        data: has ``.train`` and ``.test`` loaders and optionally ``.validation`` (see ``History``
            for what is evaluated when). ``test=None`` leaves the test set alone; one of the two
            must be there. A loader yields ``(X, y)``, y integer class indices (B,), anew each
            time that it is gone through: a ``DataLoader``, or a list.
        epochs: passes over the training set, at least 1.
        lr: learning rate of plain SGD, where no ``optimizer`` is given.
        optimizer: an optimiser of the net's parameters, made when all layers are in place.
        schedule: a learning-rate scheduler of that optimiser, stepped after every batch.
        loss: maps scores (B, K) and labels int64 (B,) to their mean loss; cross-entropy by default.
            Other targets it makes of the labels itself. A module is moved to ``device``. The
            held-out loss is plain cross-entropy whatever is given here.
        seed: of everything random in training.
        device: where to train; ``try_gpu()`` by default.
        precision: "float32", "bfloat16" (mixed precision), or "auto": bfloat16 where the hardware
            gains from it.
        name: the run's place under ``runs/``, in results "chapter/model/variant".
        checkpoint: a file saved at the start and after every epoch. Where it exists, training
            resumes from it and ends where an uninterrupted run would have ended; a file of another
            run is refused by name.

    Returns:
        The run's history. TensorBoard logs of the same numbers are in ``history.log_dir``.

    Raises:
        DivergedError: a loss, in training or held out, became NaN or infinite.
        ValueError: what is given cannot work, which is said before the first step: numbers out of
            range, a name that leads out of ``runs/``, no net, no images, labels, scores and loss
            that do not fit together, a frozen net, an optimiser of another net or one that needs a
            closure, a schedule of another optimiser or counted in epochs, a checkpoint of another
            run.
        OSError: the checkpoint cannot be written.
        TypeError: it would hold what cannot be stored.
    """
    check_net(net, data)
    epochs, lr, seed = check_numbers(epochs, lr, seed)
    name = check_name(name)
    if (lr is None) == (optimizer is None):
        raise ValueError(
            Text(
                zh=f"lr 是 {lr!r}，optimizer 是 {optimizer!r}；两个里面要给一个，而且只给一个。",
                en=f"lr is {lr!r} and optimizer is {optimizer!r}; give exactly one of them.",
            )
        )
    check_loss(loss)
    loss = loss or nn.functional.cross_entropy
    device = check_device(device) if device is not None else try_gpu()
    precision = resolve_precision(precision, device)
    checkpoint = check_checkpoint(checkpoint)
    resumes = checkpoint is not None and checkpoint.exists()
    extras = Extras()

    with random_state_kept(device):
        check_data(data)
        check_has_parameters(net)
        batches = first_batches(data)
    held_out, (X, _) = list(batches.items())[-1]
    with images_explained(net, X, held_out):
        materialise(net.to(device), X.to(device))  # which draws as making the layers does
    with random_state_kept(device), in_training_mode(net), torch.enable_grad():
        if isinstance(loss, nn.Module):
            loss.to(device)  # class weights have to be where the scores are
        if optimizer is None:
            optimizer = torch.optim.SGD(net.parameters(), lr=lr)
        check_optimizer(net, optimizer)
        move_state(optimizer)
        check_schedule(schedule, optimizer, epochs, count_batches(data.train), resumes=resumes)
        compute = Compute(device, precision).fitted(net, X, weights_too=True)
        rehearse(net, data, batches, loss, compute)

        settings = {"name": name, "seed": seed, "epochs": epochs}
        settings |= {"precision": precision, "loss": loss}
        if checkpoint is not None:
            state = Resumable(net, optimizer, schedule, data, device, settings)
        if resumes:
            history = state.load(checkpoint)
        else:
            _warn_if_trained(net)
            history = _new_history(net, data, X, name, seed, compute, extras)
            _seed_everything(seed, data.train, device)
            if checkpoint is not None:  # an interrupted first epoch resumes like any other
                state.save(checkpoint, history)
        _trained_nets.add(net)

        with (
            weights_in(net, compute.memory_format),
            extras.open(history, epochs, net, data, X),
        ):
            try:
                while history.epochs < epochs:
                    entry = _train_epoch(
                        net, data.train, optimizer, schedule, loss, compute, extras
                    )
                    if math.isfinite(entry["train_loss"]):
                        last = history.epochs + 1 == epochs
                        entry |= _evaluate_epoch(net, data, compute, last=last)
                    append(entry, history, data)
                    extras.after_epoch(history)
                    if checkpoint is not None:
                        state.save(checkpoint, history)
            except Exception as error:  # DivergedError, or of the learner's own data or net
                extras.record(history)
                if history.epochs > 0:
                    error.add_note(str(_kept_in(history)))
                if extras.batches == 0 and not resumes:  # nothing was trained yet
                    _trained_nets.discard(net)
                    if checkpoint is not None:
                        checkpoint.unlink(missing_ok=True)
                elif checkpoint is not None:
                    state.note_changes(checkpoint)
                raise
            except KeyboardInterrupt:
                extras.record(history)
                if checkpoint is not None:
                    state.note_changes(checkpoint)
                if not _hand_over(history, epochs):
                    raise
    extras.record(history)
    return history


def _train_epoch(
    net: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    schedule,
    loss: Callable[[Tensor, Tensor], Tensor],
    compute: Compute,
    extras: Extras,
) -> dict[str, float]:
    """One pass over the training set; the epoch's entry of the training curves."""
    start, samples = time.perf_counter(), 0
    loss_sum = torch.zeros((), device=compute.device)
    correct = torch.zeros((), dtype=torch.int64, device=compute.device)
    for batch in loader:
        X, y = pair_of(batch, "data.train", loader)
        X, y = compute.move(X), compute.move_labels(y)
        with compute.autocast():
            y_hat = main_output(net(X))
        batch_loss = mean_loss(loss, y_hat.float(), y)
        optimizer.zero_grad()
        batch_loss.backward()
        optimizer.step()
        rate = float(optimizer.param_groups[0]["lr"])
        if schedule is not None:
            schedule.step()
        samples += len(y)
        loss_sum += batch_loss.detach() * len(y)
        correct += correct_mask(y_hat.detach(), y).sum()
        extras.after_batch()
        # Reading a number back waits for a GPU to finish; on a CPU it costs nothing.
        if compute.device.type == "cpu" and not math.isfinite(batch_loss.item()):
            break
    if samples == 0:
        message: Text = empty("train")
        raise ValueError(message)
    return {
        "train_samples": samples,
        "train_loss": loss_sum.item() / samples,
        "train_accuracy": correct.item() / samples,
        "learning_rate": rate,
        "seconds": time.perf_counter() - start,
    }


def _evaluate_epoch(net: nn.Module, data, compute: Compute, *, last: bool) -> dict[str, float]:
    """The entry of the held-out curves; ``History`` says which set is evaluated when."""
    entry = {}
    for part, loader in held_out_loaders(data).items():
        if part == "validation" or last or "validation_loss" not in entry:
            result = measure(*predict_with(compute, net, loader))
            entry |= {f"{part}_loss": result.loss, f"{part}_accuracy": result.accuracy}
    return entry


def _hand_over(history: History, epochs: int) -> bool:
    """After the stop button: say where the finished epochs are; whether ``train`` returns them."""
    if history.epochs == 0:
        return False
    is_returned = is_at_prompt()
    done, stopped = history.epochs, history.epochs + 1
    zh, en = f"在 {history.log_dir} 里", f"are in {history.log_dir}"
    if is_returned:  # not always to the person: an experiment leaves half a run out
        zh += "，train 也返回它们；后面的代码会继续运行，要停就再按一次"
        en += ", and train returns them; the code that follows goes on unless you stop it too"
    say(
        zh=f"训练在第 {stopped} 轮（共 {epochs} 轮）被停下。前 {done} 轮的曲线{zh}。",
        en=f"Training was stopped in epoch {stopped} of {epochs}. The curves of the {done} before "
        f"{en}.",
    )
    if is_returned:
        from IPython.display import display

        display(history)
    return is_returned


def _kept_in(history: History) -> Text:
    return Text(
        zh=f"前 {history.epochs} 轮的曲线在 {history.log_dir} 里。",
        en=f"The curves of the {history.epochs} epochs before are in {history.log_dir}.",
    )


def _warn_if_trained(net: nn.Module) -> None:
    if net in _trained_nets:
        warnings.warn(
            str(
                Text(
                    zh="这个网络已经训练过，现在接着训练；要从头开始，请在同一个单元格里重新创建它。",
                    en="This net has been trained before and is now trained on; to start afresh, "
                    "make it anew in the same cell.",
                )
            ),
            AlreadyTrainedWarning,
            stacklevel=3,
        )


def _seed_everything(seed: int, loader: Iterable, device: torch.device) -> None:
    seed_all(seed, device)
    for generator in generators_of(loader):
        generator.manual_seed(seed)


def _new_history(
    net: nn.Module, data, X: Tensor, name: str, seed: int, compute: Compute, extras: Extras
) -> History:
    return History(
        name=name,
        source=getattr(data, "source", "unknown data"),
        seed=seed,
        device=describe(compute.device),
        precision=compute.precision,
        parameters=count_parameters(net),
        multiply_adds=extras.count(net, tuple(X.shape[1:])),
        log_dir=extras.fresh_folder(name, seed),
        started=time.time(),
    )
