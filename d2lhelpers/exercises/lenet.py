"""Exercises of chapter 1: shapes of convolutions, and a convolution by hand."""

import itertools

import torch
from torch.nn.functional import conv2d

from ..say import Text
from .base import Exercise, Wrong, filled_in, is_number, must_equal_with_gradient


def conv_size(size, kernel_size, padding, stride):
    return (size + 2 * padding - kernel_size) // stride + 1


def check_conv_size(answer):
    for size, kernel_size, padding, stride in itertools.product((7, 28), (2, 3, 5), (0, 2), (1, 3)):
        found = filled_in(answer(size, kernel_size, padding, stride))
        weight = torch.zeros(1, 1, kernel_size, kernel_size)
        image = torch.zeros(1, 1, size, size)
        expected = conv2d(image, weight, padding=padding, stride=stride).shape[-1]
        if found != expected:
            raise Wrong(
                f"边长 {size}、卷积核 {kernel_size}、填充 {padding}、步幅 {stride}："
                f"应是 {expected}，得到的是 {found}。",
                f"Size {size}, kernel {kernel_size}, padding {padding}, stride {stride}: "
                f"expected {expected}, got {found}.",
            )


def corr2d(X, K):
    height, width = K.shape
    rows, columns = X.shape[0] - height + 1, X.shape[1] - width + 1
    return torch.stack(
        [
            torch.stack([(X[i : i + height, j : j + width] * K).sum() for j in range(columns)])
            for i in range(rows)
        ]
    )


def check_corr2d(answer):
    for size, kernel_size in [((3, 3), (2, 2)), ((5, 7), (3, 2)), ((4, 4), (1, 1))]:
        X, K = torch.randn(size), torch.randn(kernel_size, requires_grad=True)
        expected = conv2d(X[None, None], K[None, None])[0, 0]
        where = f"X {size}, K {kernel_size}"
        must_equal_with_gradient(answer(X, K), expected, K, "K", where)


EXERCISES = (
    Exercise(
        check=is_number(
            256,
            {
                400: Text("那是填充为 2 时的个数。", "That is the number with a padding of 2."),
                144: Text(
                    "多减了一次 4：没有填充，第一个卷积把 28 变成 24。",
                    "You took 4 off once too often: without padding, the first convolution turns "
                    "28 into 24.",
                ),
                4: Text(
                    "那是边长：要的是通道数 × 高 × 宽。",
                    "That is the side: you need channels × height × width.",
                ),
                16: Text(
                    "这只是一个因数：要的是通道数 × 高 × 宽。",
                    "That is only one factor: you need channels × height × width.",
                ),
            },
        ),
        hint=Text(
            "从 28 写起，一层一层写出边长；5×5 的卷积没有填充就少 4，池化减半。",
            "Write down the size layer by layer, from 28; a 5×5 convolution without padding "
            "takes 4 off, pooling halves.",
        ),
        solution="16 * 4 * 4",
        why=Text(
            "边长依次是 28、24、12、8、4；最后有 16 个通道，每个 4×4。",
            "The sizes are 28, 24, 12, 8, 4; at the end there are 16 channels of 4×4.",
        ),
    ),
    Exercise(
        check=check_conv_size,
        hint=Text(
            "两边都填充；卷积核第一次放在 0，最后一次放在哪里？走不满的一步不算。",
            "Padding is added on both sides. The kernel starts at position 0; what is the last "
            "position it can take? A step that does not fit is not taken.",
        ),
        solution=conv_size,
        why=Text(
            "填充后长 size + 2·padding，卷积核能走 size + 2·padding − kernel_size 个像素，"
            "每步 stride 个，向下取整，再加上起点那一次。",
            "With padding the input is size + 2·padding long, so the kernel can move size + "
            "2·padding − kernel_size pixels, in steps of stride, rounded down. Add one for the "
            "starting position.",
        ),
    ),
    Exercise(
        check=check_corr2d,
        hint=Text(
            "输出的 (i, j) 是 X 的一块和 K 逐个相乘再求和；这一块从哪行哪列起，有多大？"
            "深度学习里的卷积不翻转卷积核。",
            "Output (i, j) is the sum of a patch of X times K, element by element; where does "
            "the patch begin, and how large is it? Deep learning's convolution does not flip the "
            "kernel.",
        ),
        solution=corr2d,
        why=Text(
            "这叫互相关；深度学习习惯上把它叫卷积。",
            "This is cross-correlation, which deep learning calls convolution.",
        ),
    ),
)
