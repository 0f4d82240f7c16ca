"""Exercises of chapter 6: a running average, group normalisation by hand, and normalisation folded
into a convolution."""

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


def group_norm(X, groups, gamma, beta, epsilon):
    parts = X.unflatten(1, (groups, -1))  # (N, groups, C / groups, H, W)
    mean = parts.mean(dim=(2, 3, 4), keepdim=True)
    variance = parts.var(dim=(2, 3, 4), keepdim=True, correction=0)
    normalised = ((parts - mean) / (variance + epsilon).sqrt()).flatten(1, 2)
    return gamma.view(1, -1, 1, 1) * normalised + beta.view(1, -1, 1, 1)


def check_group_norm(answer):
    for shape, groups, epsilon in (
        ((4, 6, 2, 5), 3, 1e-5),
        ((1, 4, 3, 2), 1, 1e-5),
        ((3, 6, 2, 2), 2, 0.5),
    ):
        X = (torch.randn(shape) * 3 + 1).requires_grad_()
        gamma, beta = torch.rand(shape[1]) + 0.5, torch.randn(shape[1])
        expected = F.group_norm(X, groups, gamma, beta, epsilon)
        found = answer(X, groups, gamma, beta, epsilon)
        where = f"X {shape}, groups = {groups}, ε = {epsilon}"
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
            22,
            {
                9: Text(
                    "不是每批加 1：每批只走完剩下差距的十分之一。",
                    "It does not grow by 1 each time: each batch closes a tenth of the gap that is "
                    "left.",
                ),
                10: Text(
                    "十批之后，差距还剩 10 × 0.9¹⁰，大约 3.5。",
                    "After ten batches the gap is still 10 × 0.9¹⁰, about 3.5.",
                ),
                21: Text(
                    "差一点：0.9²¹ 还略大于 0.1。", "Nearly: 0.9²¹ is still a little above 0.1."
                ),
            },
        ),
        hint=Text(
            "别看滑动平均，看离 10 还差多少：每过一批，差距乘上多少？",
            "Look not at the running average but at how far it is from 10: by what is that "
            "multiplied with each batch?",
        ),
        solution="next(k for k in range(100) if 10 * (1 - 0.9**k) > 9)",
        why=Text(
            "差距每批乘 0.9，k 批之后是 10 × 0.9ᵏ；小于 1 要 k > ln 0.1 / ln 0.9 ≈ 21.9。"
            "所以 m = 0.1 大约只记得十来批：起步时要等二十多批才可信，"
            "小批量只有 2 张时，又只记得二十来张图像。",
            "The gap is multiplied by 0.9 with each batch and is 10 × 0.9ᵏ after k of them; it is "
            "below 1 for k > ln 0.1 / ln 0.9 ≈ 21.9. So the memory of m = 0.1 is about ten "
            "batches: at the start it takes over twenty until the average can be trusted, and "
            "with batches of 2 it remembers only about twenty images.",
        ),
    ),
    Exercise(
        check=check_group_norm,
        hint=Text(
            "把通道那一维拆成（组，组内通道），对组内通道、高、宽三维求均值和方差，"
            "每张图像的每一组各一个；方差除以 n。再变回原来的形状，才乘 gamma、加 beta。",
            "Split the channel dimension into (groups, channels in a group) and take mean and "
            "variance over channels in a group, height and width, one for each group of each "
            "image; divide the variance by n. Restore the shape before gamma and beta.",
        ),
        solution=group_norm,
        why=Text(
            "均值里没有别的图像，所以一张图像的结果和谁同批无关；"
            "groups = 1 就是对 C、H、W 取平均的层归一化。",
            "No other image is in the mean, so an image's result does not depend on its batch; "
            "with groups = 1 this is layer normalisation over C, H and W.",
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
