"""Exercises of chapter 5: what a reduction saves, and branches side by side."""

import torch
from torch import nn

from ..nets import count_multiply_adds, count_parameters
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


class Parallel(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, X):
        return torch.cat([branch(X) for branch in self.branches], dim=1)


def check_parallel(answer):
    for channels in ((4, 2), (3, 5, 1)):
        branches = [nn.Conv2d(3, width, kernel_size=1) for width in channels]
        net = filled_in(answer(*branches))
        X = torch.randn(2, 3, 4, 6)
        expected = torch.cat([branch(X) for branch in branches], dim=1)
        where = Text(f"{len(channels)} 条支路", f"{len(channels)} branches")
        must_equal(net(X), expected, where)
        counts = count_parameters(net), sum(map(count_parameters, branches))
        if counts[0] != counts[1]:
            raise Wrong(
                f"{where.zh}：应有 {counts[1]} 个参数，只登记了 {counts[0]} 个；没登记的，优化器看"
                "不见。",
                f"{where.en}: only {counts[0]} of {counts[1]} parameters are registered; the "
                "optimiser would not see the rest.",
            )


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
        check=check_parallel,
        hint=Text(
            "用 nn.ModuleList 存支路；输出沿通道那一维接起来，也就是 dim=1。",
            "Keep the branches in an nn.ModuleList, and join their outputs along the channels, "
            "dim=1.",
        ),
        solution=Parallel,
        why=Text(
            "普通的列表里放的层，PyTorch 找不到：不会训练，也不会搬到 GPU 上。",
            "PyTorch does not find layers in a plain list: they are neither trained nor moved to "
            "the GPU.",
        ),
    ),
)
