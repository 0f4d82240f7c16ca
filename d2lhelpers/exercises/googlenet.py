"""Exercises of chapter 5: what a reduction saves, and 1x1 convolutions that become one."""

import torch
from torch import nn

from ..nets import count_multiply_adds
from ..say import Text
from .base import Exercise, Wrong, filled_in, is_number, must_be_number, must_equal


def saving(in_channels, reduced, channels, kernel_size):
    direct = in_channels * channels * kernel_size**2
    with_reduction = in_channels * reduced + reduced * channels * kernel_size**2
    return direct / with_reduction


def check_saving(answer):
    for in_channels, reduced, channels, kernel_size in (
        (192, 16, 32, 5),
        (192, 96, 128, 3),
        (8, 8, 8, 1),
    ):
        found = must_be_number(answer(in_channels, reduced, channels, kernel_size))
        sizes = (in_channels, channels), (in_channels, reduced), (reduced, channels)
        direct, reduction, after = (
            count_multiply_adds(nn.Conv2d(a, b, k, padding="same", bias=False), (a, 12, 12))
            for (a, b), k in zip(sizes, (kernel_size, 1, kernel_size), strict=True)
        )
        expected = direct / (reduction + after)
        if not abs(found - expected) < 1e-3 * expected:
            raise Wrong(
                f"({in_channels}, {reduced}, {channels}, {kernel_size})：应是 {expected:.4g} 倍，"
                f"得到的是 {found:.4g} 倍。",
                f"({in_channels}, {reduced}, {channels}, {kernel_size}): expected {expected:.4g} "
                f"times, got {found:.4g} times.",
            )


def merge(*convs):
    channels = sum(conv.out_channels for conv in convs)
    merged = nn.Conv2d(convs[0].in_channels, channels, kernel_size=1)
    with torch.no_grad():
        merged.weight.copy_(torch.cat([conv.weight for conv in convs]))
        merged.bias.copy_(torch.cat([conv.bias for conv in convs]))
    return merged


def check_merge(answer):
    for channels in ((4, 2), (3, 5, 1)):
        convs = [nn.Conv2d(3, width, kernel_size=1) for width in channels]
        merged = filled_in(answer(*convs))
        if not isinstance(merged, nn.Conv2d):
            kind = type(merged).__name__
            raise Wrong(
                f"应返回一个 nn.Conv2d，得到的是 {kind}。", f"Expected one nn.Conv2d, got {kind}."
            )
        X = torch.randn(2, 3, 4, 6)
        expected = torch.cat([conv(X) for conv in convs], dim=1)
        where = Text(f"{len(channels)} 个卷积", f"{len(channels)} convolutions")
        must_equal(merged(X), expected, where)


EXERCISES = (
    Exercise(
        check=is_number(
            6_960,
            {
                12_832: Text("那是 5×5 卷积的个数。", "That is the number of the 5×5 convolution."),
                6_912: Text("偏置还没有算。", "The biases are missing."),
                10_048: Text(
                    "只问两个 3×3；前面的 1×1 不算。",
                    "Only the two 3×3 count, not the 1×1 before them.",
                ),
                13_888: Text(
                    "两个卷积之间是 16 个通道，不是 32 个。",
                    "There are 16 channels between the two, not 32.",
                ),
            },
        ),
        hint=Text(
            "第一个 3×3 从 16 通道到 16 通道，第二个从 16 到 32，都带偏置。",
            "The first 3×3 goes from 16 to 16 channels, the second from 16 to 32, both with "
            "biases.",
        ),
        solution="(16 * 16 * 9 + 16) + (16 * 32 * 9 + 32)",
        why=Text(
            "5×5 的有 12,832 个：感受野一样大，参数差不多减半。",
            "The 5×5 has 12,832: with the same receptive field, the parameters are nearly halved.",
        ),
    ),
    Exercise(
        check=check_saving,
        hint=Text(
            "每个输出位置上的乘加：输入通道 × 输出通道 × 卷积核面积。1×1 自己也要算。",
            "Multiply-adds at one output position: input channels × output channels × kernel area. "
            "The 1×1 convolution counts as well.",
        ),
        solution=saving,
        why=Text(
            "图的高和宽两边都有，约掉了。卷积核越大、降得越狠，省得越多。",
            "Height and width cancel out. The larger the kernel and the stronger the reduction, "
            "the more is saved.",
        ),
    ),
    Exercise(
        check=check_merge,
        hint=Text(
            "卷积的权重形状是 (输出通道, 输入通道, 1, 1)；沿第一维接起来，偏置也一样。改权重要放在 "
            "torch.no_grad() 里。",
            "The weight of a convolution has the shape (output channels, input channels, 1, 1): "
            "join them along the first axis, and the biases too, within torch.no_grad().",
        ),
        solution=merge,
        why=Text(
            "输入只读一遍，一次大的矩阵乘法往往比几次小的快；结果一点不变。",
            "The input is read once, and one large matrix product is often faster than several "
            "small ones; the result stays the same.",
        ),
    ),
)
