"""Exercises of chapter 3: sizes, receptive fields, and the VGG block."""

import torch
from torch import nn
from torch.nn.functional import conv2d, max_pool2d, relu

from ..nets import count_parameters
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


def build_block(convs, in_channels, channels):
    layers = []
    for i in range(convs):
        inputs = in_channels if i == 0 else channels
        layers += [nn.Conv2d(inputs, channels, kernel_size=3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))


def check_build_block(answer):
    for convs, in_channels, channels in ((1, 3, 8), (2, 8, 16), (3, 4, 4)):
        block = filled_in(answer(convs, in_channels, channels))
        where = f"({convs}, {in_channels}, {channels})"
        if not isinstance(block, nn.Module):
            given = type(block).__name__
            raise Wrong(
                f"应返回 nn.Module，得到的是 {given}。", f"Expected an nn.Module, got {given}."
            )
        layers = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
        expected = channels * (9 * in_channels + 1) + (convs - 1) * channels * (9 * channels + 1)
        if len(layers) != convs or count_parameters(block) != expected:
            count = count_parameters(block)
            raise Wrong(
                f"{where}：卷积 {len(layers)} 个（应有 {convs} 个），参数 {count:,} 个（应有 "
                f"{expected:,} 个）。",
                f"{where}: convolutions {len(layers)} (expected {convs}), parameters {count:,} "
                f"(expected {expected:,}).",
            )
        X = torch.randn(2, in_channels, 8, 12)
        Y = X
        for layer in layers:
            Y = relu(conv2d(Y, layer.weight, layer.bias, padding=1))
        must_equal(block(X), max_pool2d(Y, 2), Text(where, where))


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
        check=check_build_block,
        hint=Text(
            "只有第一个卷积的输入通道不同；每个卷积后面都跟一个 ReLU，最后池化一次。",
            "Only the first convolution has other input channels; a ReLU follows each convolution, "
            "and pooling comes once, at the end.",
        ),
        solution=build_block,
        why=Text(
            "3×3 的卷积填充 1，边长不变，减半全靠池化，所以块可以随意堆叠。",
            "With a padding of 1 a 3×3 convolution keeps the size and pooling alone halves it, so "
            "blocks can be stacked at will.",
        ),
    ),
)
