"""Exercises of chapter 3: sizes, receptive fields, and initial weights."""

import copy

import torch
from torch import nn

from ..nets import init_he, layer_signals
from ..say import Text
from .base import Exercise, Wrong, filled_in, is_number, must_be_number, must_equal


def field_size(layers):
    size, step = 1, 1
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * step
        step *= stride
    return size


def _measured(layers):
    """Receptive field of one output: the inputs whose gradient is not zero."""
    length = 1
    for kernel_size, stride in reversed(layers):
        length = (length - 1) * stride + kernel_size
    X = torch.zeros(1, 1, length, requires_grad=True)
    Y = X
    for kernel_size, stride in layers:
        Y = nn.functional.conv1d(Y, torch.ones(1, 1, kernel_size), stride=stride)
    Y.sum().backward()
    return int(X.grad.count_nonzero())


def check_field_size(answer):
    for layers in (
        [(3, 1)] * 2,
        [(3, 1)] * 3,
        [(2, 2), (3, 1)],
        [(3, 2), (2, 2), (3, 1)],
        [(5, 1)],
    ):
        expected = _measured(layers)
        found = must_be_number(answer(list(layers)))
        if found != expected:
            raise Wrong(
                f"{layers}：应是 {expected}，得到的是 {found}。",
                f"{layers}: expected {expected}, got {found}.",
            )


def unit_signals(net, X):
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data /= layer(X).detach().square().mean().sqrt()
        X = layer(X)
    return net


def check_unit_signals(answer):
    for image, layers in (
        ((3, 8, 8), [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6**2, 5)]),
        ((4, 6, 6), [nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten()]),
        ((7,), [nn.Linear(7, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 3)]),
    ):
        net, X = nn.Sequential(*layers).apply(init_he), 3 * torch.randn(16, *image)
        before = copy.deepcopy(net)
        found = filled_in(answer(net, X))
        if not isinstance(found, nn.Module):
            given = type(found).__name__
            raise Wrong(f"应返回网络，得到的是 {given}。", f"Expected the network, got {given}.")
        _must_be_scaled(found, before)
        sizes = torch.tensor(list(layer_signals(found, X).values()))
        where = Text(f"{len(sizes)} 个带权重的层", f"{len(sizes)} layers with weights")
        must_equal(sizes, torch.ones_like(sizes), where, tolerance=1e-3)


def _must_be_scaled(net, before):
    """The weights of each layer are those of before times one positive number; biases are zero."""
    for (name, new), old in zip(net.named_parameters(), before.parameters(), strict=True):
        factor = new.norm() / old.norm() if old.any() else 0
        if not torch.allclose(new, factor * old, rtol=1e-4, atol=1e-6):
            raise Wrong(
                f"{name}：每层的权重只能整体乘一个正数，偏置仍是零。",
                f"{name}: a layer's weights may only be multiplied by one positive number, and "
                "biases stay zero.",
            )


EXERCISES = (
    Exercise(
        check=is_number(
            100_352,
            {
                25_088: Text("那是 224×224 时的个数。", "That is the number for 224×224."),
                50_176: Text(
                    "边长加倍，面积是四倍。",
                    "With the size doubled, the area is four times as large.",
                ),
            },
        ),
        hint=Text(
            "五次池化，每次减半；通道数和图像大小无关。",
            "Pooling halves five times; the number of channels does not depend on the image.",
        ),
        solution="512 * (448 // 2**5) ** 2",
        why=Text(
            "卷积和池化什么大小都行；448 减半五次是 14，512 个通道各有 14×14 个数。"
            "只有第一个全连接层认死了 25,088 个输入。",
            "Convolutions and pooling take any size; 448 halved five times is 14, and 512 "
            "channels have 14×14 numbers each. Only the first fully connected layer insists on "
            "25,088 inputs.",
        ),
    ),
    Exercise(
        check=check_field_size,
        hint=Text(
            "从 1 开始，每层加上（窗口边长 − 1）乘以此前所有步幅的积。",
            "Begin with 1; each layer adds (kernel size − 1) times the product of all strides "
            "before it.",
        ),
        solution=field_size,
        why=Text(
            "步幅不改变本层的感受野，但让后面各层的每一格在输入上隔得更远。",
            "A stride leaves its own layer's receptive field alone, but spreads the cells that "
            "later layers look at further over the input.",
        ),
    ),
    Exercise(
        check=check_unit_signals,
        hint=Text(
            "从前往后，一层一层来：先看这一层的输出多大，除掉，再让信号传到下一层。",
            "Go from front to back: see how large this layer's output is, divide by that, and only "
            "then send the signal on to the next layer.",
        ),
        solution=unit_signals,
        why=Text(
            "偏置是零，输出就和权重成正比，除一次就够了。He 的公式靠假设算出方差，这里直接量，"
            "所以什么激活函数都行；每层只能在前面各层改好以后再量。",
            "With biases of zero an output is proportional to the weights, so one division is "
            "enough. He's formula works the variance out from assumptions; measuring works with "
            "any activation. A layer must be measured after those before it have been put right.",
        ),
    ),
)
