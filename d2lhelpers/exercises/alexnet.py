"""Exercises of chapter 2: grouped convolutions and dropout."""

import torch
from torch import nn

from ..say import Text
from .base import (
    Exercise,
    Wrong,
    gradient,
    is_number,
    must_equal,
    must_equal_with_gradient,
    must_have_shape,
)


def dropout(X, p):
    kept = torch.rand_like(X) >= p
    return X * kept / (1 - p)


def check_dropout(answer):
    for p in (0.0, 0.3, 0.5):
        X = torch.full((200, 500), 2.0, requires_grad=True)
        Y = must_have_shape(answer(X, p), X.shape, Text(f"p = {p}", f"p = {p}"))
        zeros = (Y == 0).float()
        share = zeros.mean().item()
        if abs(share - p) > 0.01:  # more than six standard errors of 100,000 draws
            raise Wrong(
                f"p = {p}：应有约 {p:.0%} 的输出是零，得到的是 {share:.1%}。",
                f"p = {p}: about {p:.0%} of the outputs should be zero, not {share:.1%}.",
            )
        rest = Y[Y != 0].detach()
        if (rest - 2 / (1 - p)).abs().max() > 1e-5:
            raise Wrong(
                f"p = {p}，输入全是 2：留下的应是 {2 / (1 - p):.4g}，这样均值才不变；"
                f"得到的平均是 {rest.mean():.4g}。",
                f"p = {p}, inputs all 2: what is kept should become {2 / (1 - p):.4g}, so that the "
                f"mean stays; found {rest.mean():.4g} on average.",
            )
        if p and (zeros.mean(0).std() > 0.1 or zeros.mean(1).std() > 0.1):
            raise Wrong(
                "每个数应各自抽签，不能整行或整列一起丢。",
                "Each number should be drawn on its own, not whole rows or columns.",
            )
        if p and torch.equal(Y, answer(X, p)):
            raise Wrong("每次调用应重新抽签。", "Every call should draw anew.")
        case = Text(f"p = {p}，X 的梯度", f"p = {p}, gradient of X")
        must_equal(gradient(Y, X), 2 * Y.detach() * (1 - zeros) / (1 - p), case)


def grouped_conv(X, weight, groups):
    maps = [
        nn.functional.conv2d(part, kernels)
        for part, kernels in zip(X.chunk(groups, dim=1), weight.chunk(groups), strict=True)
    ]
    return torch.cat(maps, dim=1)


def check_grouped_conv(answer):
    for groups in (1, 2, 3):
        X = torch.randn(2, 6, 5, 7)
        weight = torch.randn(12, 6 // groups, 3, 3, requires_grad=True)
        expected = nn.functional.conv2d(X, weight, groups=groups)
        found = answer(X, weight, groups)
        must_equal_with_gradient(found, expected, weight, "weight", f"groups = {groups}")


EXERCISES = (
    Exercise(
        check=is_number(
            614_656,
            {
                307_456: Text("那是分成两组时的个数。", "That is the number with two groups."),
                614_400: Text("偏置还没有算。", "The biases are missing."),
            },
        ),
        hint=Text(
            "每个输出通道有一个 96×5×5 的卷积核，和一个偏置。",
            "Each output channel has a kernel of 96×5×5 and a bias.",
        ),
        solution="256 * (96 * 5 * 5) + 256",
        why=Text(
            "不分组，每个卷积核要看全部 96 个输入通道，不再只看一半；偏置不变，仍是 256 个。",
            "Without groups each kernel sees all 96 input channels instead of half of them; the "
            "256 biases stay.",
        ),
    ),
    Exercise(
        check=check_dropout,
        hint=Text(
            "先抽出和 X 同样形状的 0 和 1，再想想：丢掉一部分以后，均值怎样才能不变？",
            "Draw zeros and ones in the shape of X. Then think: with a part dropped, what keeps "
            "the mean where it was?",
        ),
        solution=dropout,
        why=Text(
            "每个数以 1 − p 的概率留下，留下时除以 1 − p，期望就和输入一样，评估时便什么也不用做。",
            "Each number is kept with probability 1 − p and then divided by 1 − p, so its expected "
            "value is the input, and evaluation needs no correction.",
        ),
    ),
    Exercise(
        check=check_grouped_conv,
        hint=Text(
            "把输入通道和卷积核都切成 groups 份；第 k 份卷积核只看第 k 份通道，输出按通道接起来。",
            "Cut both the input channels and the kernels into groups; the kernels of part k see "
            "the channels of part k only, and outputs are joined along the channels.",
        ),
        solution=grouped_conv,
        why=Text(
            "这就是论文的两座塔：两块显卡各算一组，互不相看。",
            "These are the paper's two towers: each of two graphics cards computes one group and "
            "sees nothing of the other.",
        ),
    ),
)
