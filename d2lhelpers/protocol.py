"""The one way in which chapters 2 to 7 train on CIFAR-10, so that their numbers compare."""

import torch
from torch import nn

from .augment import random_crop, random_flip
from .data import ImageData, load_cifar10
from .training import History, train

VALIDATION_SIZE = 5_000
"""Training images set aside to choose learning rates: He et al., 2015, section 4.2, split alike."""


def load_protocol_data(
    batch_size: int = 128,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
    source: str = "auto",
    seed: int = 0,
) -> ImageData:
    """CIFAR-10 in 45,000 training, 5,000 validation and 10,000 test images.

    Training images are flipped and cropped at random (4 pixels of padding), drawn per image; all
    are standardised. Where ``test_size`` is smaller than the test set, validation shrinks with it.

    Args:
        batch_size, train_size, test_size, source, seed: as for ``load_cifar10``.
    """
    return load_cifar10(
        batch_size,
        validation_size=VALIDATION_SIZE if test_size is None else test_size // 2,
        train_size=train_size,
        test_size=test_size,
        source=source,
        augment=(random_flip, random_crop),
        seed=seed,
    )


def train_by_protocol(
    net: nn.Module, data: ImageData, *, epochs: int, lr: float, seed: int, name: str
) -> History:
    """Train with the course's recipe: SGD, Nesterov momentum 0.9, weight decay 5e-4, one cycle.

    The learning rate rises linearly to ``lr`` over the first fifth of the steps and falls linearly
    to almost zero over the rest (Smith and Topin, "Super-convergence", 2018). bfloat16 is used
    where the hardware gains from it. Validation is evaluated after every epoch, the test set once.

    Args:
        net, data, epochs, seed, name: as for ``train``.
        lr: the highest learning rate of the cycle.
    """
    optimizer = torch.optim.SGD(
        net.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    steps = epochs * len(data.train)
    rising = max(1, steps // 5)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / rising, (steps - step) / (steps - rising + 1)),
    )
    return train(
        net,
        data,
        epochs=epochs,
        optimizer=optimizer,
        schedule=schedule,
        seed=seed,
        precision="auto",
        name=name,
    )
