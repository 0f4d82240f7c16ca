"""Exercises of chapter 6: batch normalisation by hand, and folded into a convolution."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from ..say import Text
from .base import (
    Exercise,
    Wrong,
    filled_in,
    is_number,
    must_equal,
    must_equal_with_gradient,
)


def batch_norm(X, gamma, beta, epsilon):
    mean = X.mean(dim=(0, 2, 3), keepdim=True)
    variance = X.var(dim=(0, 2, 3), keepdim=True, correction=0)
    normalised = (X - mean) / (variance + epsilon).sqrt()
    return gamma.view(1, -1, 1, 1) * normalised + beta.view(1, -1, 1, 1)


def check_batch_norm(answer):
    for shape, epsilon in (((4, 3, 2, 5), 1e-5), ((2, 5, 3, 1), 1e-5), ((3, 2, 2, 2), 0.5)):
        X = (torch.randn(shape) * 3 + 1).requires_grad_()
        gamma, beta = torch.rand(shape[1]) + 0.5, torch.randn(shape[1])
        expected = F.batch_norm(X, None, None, gamma, beta, training=True, eps=epsilon)
        found = answer(X, gamma, beta, epsilon)
        where = f"X {shape}, ε = {epsilon}"
        must_equal_with_gradient(found, expected, X, "X", where, tolerance=1e-4)


def fold(conv, bn):
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    folded = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
    )
    with torch.no_grad():
        folded.weight.copy_(conv.weight * scale.view(-1, 1, 1, 1))
        bias = 0 if conv.bias is None else conv.bias
        folded.bias.copy_((bias - bn.running_mean) * scale + bn.bias)
    return folded


def check_fold(answer):
    for bias in (False, True):
        conv, bn = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias), nn.BatchNorm2d(4, eps=0.1)
        for values in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
            nn.init.uniform_(values, 0.5, 2)
        conv.eval(), bn.eval()
        before = copy.deepcopy((conv.state_dict(), bn.state_dict()))
        folded = filled_in(answer(conv, bn))
        where = Text(
            f"卷积{'带' if bias else '不带'}偏置",
            f"convolution {'with' if bias else 'without'} bias",
        )
        if not isinstance(folded, nn.Conv2d):
            given = type(folded).__name__
            raise Wrong(
                f"{where.zh}：应返回一个 nn.Conv2d，得到的是 {given}。",
                f"{where.en}: expected one nn.Conv2d, got {given}.",
            )
        for module, saved in zip((conv, bn), before, strict=True):
            state = module.state_dict()
            same = state.keys() == saved.keys()
            if not same or any(not torch.equal(v, saved[k]) for k, v in state.items()):
                raise Wrong(
                    f"{where.zh}：原来的层被改掉了，请新建一个卷积。",
                    f"{where.en}: a given layer was changed; make a new convolution instead.",
                )
        X = torch.randn(2, 3, 6, 8)
        must_equal(folded(X), bn(conv(X)), where)


EXERCISES = (
    Exercise(
        check=is_number(
            24,
            {
                48: Text("没用了的偏置还没有去掉。", "The useless biases are still there."),
                0: Text("每个通道学的不止一个数。", "Each channel learns more than one number."),
                96: Text(
                    "滑动平均不是学出来的，不算；没用了的偏置要去掉。",
                    "Running averages are not learned and do not count; the useless biases go.",
                ),
                72: Text(
                    "滑动平均不是学出来的，不算。",
                    "Running averages are not learned and do not count.",
                ),
            },
        ),
        hint=Text(
            "每个输出通道：多一个 γ、一个 β，少一个偏置。和图像多大、小批量多大都无关。",
            "Each output channel gains a γ and a β, and loses a bias. Neither the size of the "
            "images nor that of the batch matters.",
        ),
        solution="2 * 24 - 24",
        why=Text(
            "归一化减去均值，卷积的偏置跟着减掉了，所以白加；β 接了它的班。",
            "Normalisation subtracts the mean, and with it the convolution's bias, which is in "
            "vain; β takes its place.",
        ),
    ),
    Exercise(
        check=check_batch_norm,
        hint=Text(
            "均值和方差对小批量、高、宽三维求，每个通道一个；方差除以 n 而不是 n − 1；ε 在根号里。",
            "Take mean and variance over batch, height and width, one for each channel; divide the "
            "variance by n, not n − 1; ε stands under the root.",
        ),
        solution=batch_norm,
        why=Text(
            "keepdim 让形状成为 (1, C, 1, 1)，相减时自动对齐；torch.var 默认除以 n − 1，所以要写 "
            "correction=0。",
            "keepdim leaves the shape (1, C, 1, 1), which broadcasts; torch.var divides by n − 1 "
            "unless told correction=0.",
        ),
    ),
    Exercise(
        check=check_fold,
        hint=Text(
            "评估时，归一化对每个通道只是乘一个数、加一个数；乘的数可以并进卷积核，加的数并进偏置。"
            "卷积可能没有偏置。",
            "In evaluation, normalisation multiplies each channel by one number and adds "
            "another; the first can go into the kernels and the second into the bias. The "
            "convolution may have no bias.",
        ),
        solution=fold,
        why=Text(
            "两个线性运算接起来还是一个线性运算；部署时常这样省掉一层。",
            "Two linear operations in a row are one linear operation; deployment often saves a "
            "layer this way.",
        ),
    ),
)
