"""Exercises of chapter 4: 1×1 convolutions, and a start that keeps the signal."""

import torch
from torch import nn
from torch.nn.functional import conv2d

from ..say import Text
from .base import Exercise, Wrong, is_number, must_be_number, must_equal_with_gradient


def conv1x1(X, weight, bias):
    pixels = X.permute(0, 2, 3, 1)
    return (pixels @ weight.T + bias).permute(0, 3, 1, 2)


def check_conv1x1(answer):
    for shape, out_channels in (((2, 3, 4, 5), 6), ((1, 5, 3, 2), 1)):
        X = torch.randn(shape)
        weight, bias = (
            torch.randn(out_channels, shape[1], requires_grad=True),
            torch.randn(out_channels),
        )
        expected = conv2d(X, weight[:, :, None, None], bias)
        found = answer(X, weight, bias)
        must_equal_with_gradient(found, expected, weight, "weight", f"X {shape}")


def keeping_std(kernel_size, in_channels, out_channels):
    return (2 / (kernel_size**2 * in_channels)) ** 0.5


def check_keeping_std(answer):
    for kernel_size, in_channels, out_channels in (
        (3, 64, 64),
        (1, 256, 64),
        (3, 32, 128),
        (5, 16, 64),
    ):
        std = must_be_number(answer(kernel_size, in_channels, out_channels))
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            padding="same",
            padding_mode="circular",
            bias=False,
        )
        with torch.no_grad():
            conv.weight.normal_().mul_(std)
            X = torch.randn(16, in_channels, 8, 8)
            ratio = (conv(X).relu().square().mean() / X.square().mean()).item()
        if not 0.8 < ratio < 1.25:
            raise Wrong(
                f"{kernel_size}×{kernel_size} 卷积，{in_channels} 个输入通道，{out_channels} 个输"
                f"出通道：经过卷积和 ReLU，均方值变成 {ratio:.3g} 倍，应在 1 左右。",
                f"A {kernel_size}×{kernel_size} convolution from {in_channels} to {out_channels} "
                f"channels: after it and ReLU the mean square is {ratio:.3g} times what it was; "
                "it should be about 1.",
            )


EXERCISES = (
    Exercise(
        check=is_number(
            31_457_280,
            {
                30_720: Text("那只是一个像素的。", "That is for one pixel only."),
                30_880: Text("那是参数的个数。", "That is the number of parameters."),
                31_621_120: Text(
                    "偏置是加的，不是乘的，不算。",
                    "Biases are added, not multiplied; leave them out.",
                ),
                62_914_560: Text(
                    "一次乘和一次加合起来算一次。",
                    "One multiplication and one addition count as one.",
                ),
            },
        ),
        hint=Text(
            "每个像素上是一个 192 输入、160 输出的全连接层；偏置只加不乘，不算。",
            "At each pixel there is a fully connected layer from 192 to 160; a bias multiplies "
            "nothing.",
        ),
        solution="192 * 160 * 32 * 32",
        why=Text(
            "权重 192×160 个，每个在 32×32 个像素上各用一次。",
            "There are 192×160 weights, and each is used once at every one of 32×32 pixels.",
        ),
    ),
    Exercise(
        check=check_conv1x1,
        hint=Text(
            "用 permute 把通道挪到最后一维，每个像素就是一个向量，和 weight 的转置相乘，再挪回来。"
            "只用 reshape 改形状，像素和通道会混在一起。",
            "Move the channels to the last dimension with permute: each pixel is then a vector to "
            "multiply by the transpose of weight. Move them back at the end. A reshape alone would "
            "mix pixels and channels.",
        ),
        solution=conv1x1,
        why=Text(
            "1×1 卷积就是每个像素共用的全连接层。",
            "A 1×1 convolution is a fully connected layer that all pixels share.",
        ),
    ),
    Exercise(
        check=check_keeping_std,
        hint=Text(
            "一个输出是 kernel_size² · in_channels 个乘积的和；ReLU 把均方值减半。",
            "An output is a sum of kernel_size² · in_channels products; ReLU drops half of the "
            "mean square.",
        ),
        solution=keeping_std,
        why=Text(
            "n 个乘积的和，均方值是 n·std² 倍；ReLU 去掉一半，所以 n·std²/2 = 1。"
            "这就是何恺明等人的初始化，和输出通道数无关。",
            "A sum of n products has n·std² times the mean square, and ReLU halves it, hence "
            "n·std²/2 = 1. This is the initialisation of He and others; the output channels play "
            "no part.",
        ),
    ),
)
