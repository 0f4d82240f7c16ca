"""Exercises of chapter 4: 1×1 convolutions, class activation maps, a block as an MLP."""

from itertools import pairwise

import torch
from torch import nn

from ..say import Text
from .base import Exercise, Wrong, is_number, must_equal, must_have_shape


def class_activation_maps(features, weight):
    return torch.einsum("nchw,kc->nkhw", features, weight)


def check_class_activation_maps(answer):
    for shape, classes in (((2, 3, 4, 5), 6), ((1, 5, 3, 2), 2)):
        features, weight = torch.randn(shape), torch.randn(classes, shape[1])
        sizes = f"features {shape}", f"weight {tuple(weight.shape)}"
        case = Text(zh="，".join(sizes), en=", ".join(sizes))
        maps = (shape[0], classes, *shape[2:])
        found = must_have_shape(answer(features, weight), maps, case).detach()
        scores = nn.functional.linear(features.mean(dim=(2, 3)), weight)
        if (found.mean(dim=(2, 3)) - scores).abs().max() > 1e-4:
            raise Wrong(
                f"{case.zh}：每张图的平均应当是这个类的分数，现在不是。",
                f"{case.en}: the mean of each map should be the score of its class, and is not.",
            )
        must_equal(found, class_activation_maps(features, weight), case)


def block_at(block, window):
    values = window.flatten()
    for layer in block:
        if isinstance(layer, nn.Conv2d):
            values = layer.weight.flatten(1) @ values + layer.bias
        else:
            values = layer(values)
    return values


def check_block_at(answer):
    for widths, size in (((6, 5, 4), 5), ((7, 3), 3)):
        layers = [nn.Conv2d(3, widths[0], size, padding=size // 2), nn.ReLU()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 1), nn.ReLU()]
        block = nn.Sequential(*layers)
        window = torch.randn(3, size, size)
        with torch.no_grad():
            expected = block(window[None])[0, :, size // 2, size // 2]
            found = answer(block, window)
        case = f"nin_block(3, {widths}, {size})"
        must_equal(found, expected, Text(case, case))


EXERCISES = (
    Exercise(
        check=is_number(
            5_898_240,
            {
                10_240: Text("那只是一个像素的。", "That is for one pixel only."),
                10_320: Text("那是参数的个数。", "That is the number of parameters."),
                5_944_320: Text(
                    "偏置是加的，不是乘的，不算。",
                    "Biases are added, not multiplied; leave them out.",
                ),
                11_796_480: Text(
                    "一次乘和一次加合起来算一次。",
                    "One multiplication and one addition count as one.",
                ),
            },
        ),
        hint=Text(
            "每个像素上是一个 128 输入、80 输出的全连接层；偏置只加不乘，不算。",
            "At each pixel there is a fully connected layer from 128 to 80; a bias multiplies "
            "nothing.",
        ),
        solution="128 * 80 * 24 * 24",
        why=Text(
            "权重 128×80 个，每个在 24×24 个像素上各用一次。",
            "There are 128×80 weights, and each is used once at every one of 24×24 pixels.",
        ),
    ),
    Exercise(
        check=check_class_activation_maps,
        hint=Text(
            "取平均和全连接层都是线性的，先后可以对调：在每个像素上先用全连接层，再取平均，"
            "分数不变。",
            "Both the mean and the fully connected layer are linear and may trade places: apply "
            "the layer at every pixel first, average after, and the scores stay.",
        ),
        solution=class_activation_maps,
        why=Text(
            "在每个像素上用同一个全连接层，就是 1×1 卷积：类别激活图是特征图再过一个 1×1 卷积。",
            "The same fully connected layer at every pixel is a 1×1 convolution: class activation "
            "maps are the features after one more 1×1 convolution.",
        ),
    ),
    Exercise(
        check=check_block_at,
        hint=Text(
            "先把窗口摊成一个向量。第一个卷积的权重摊成矩阵，每个输出通道一行；1×1 卷积的也一样。"
            "别忘了偏置和 ReLU。",
            "Lay the window out as a vector, and the first convolution's weights as a matrix with "
            "a row for each output channel; likewise for the 1×1 convolutions. Mind biases and "
            "ReLU.",
        ),
        solution=block_at,
        why=Text(
            "三次矩阵乘法，每次后面一个 ReLU，这正是一个三层的 MLP；换一个窗口，权重还是那些。",
            "Three matrix products, each followed by ReLU, are an MLP of three layers; at another "
            "window the weights are the same.",
        ),
    ),
)
