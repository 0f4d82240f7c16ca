"""Exercises of chapter 1: a shape, a prediction about gradients, and a convolution by hand."""

import torch
from torch.nn.functional import conv2d

from ..say import Text
from .base import Exercise, is_number, must_equal_with_gradient


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
        check=is_number(
            1,
            {
                0: Text(
                    "输出层的输入不是 0：σ(0) = 0.5。",
                    "The output layer's inputs are not 0: σ(0) = 0.5.",
                ),
                5: Text(
                    "传到前面的层，梯度要乘上后一层的权重，而权重是 0。",
                    "On its way to an earlier layer the gradient is multiplied by the weights of "
                    "the later one, and those are 0.",
                ),
                4: Text(
                    "一层一层从后往前想：梯度先到哪一层，再往前要乘什么？",
                    "Think from the back, layer by layer: which does the gradient reach first, and "
                    "what is it multiplied by on its way to the next?",
                ),
            },
        ),
        hint=Text(
            "一层的权重梯度是传回来的梯度乘这一层的输入；再往前传，要乘这一层的权重。"
            "两者哪个是 0？",
            "A layer's weight gradient is what comes back times the layer's inputs; to go further "
            "back it is multiplied by the layer's weights. Which of the two are 0?",
        ),
        solution="1",
        why=Text(
            "十个分数都是 0，损失正好是 ln 10。传到输出层的梯度不是 0，输出层的输入 σ(0) = 0.5 "
            "也不是 0，所以输出层的权重有梯度。再往前传，要乘输出层的权重，也就是 0，"
            "前面四层的梯度都是 0。每走一步，梯度才能再往前传一层；可是每一层里的单元始终一模一样，"
            "所以初始权重要随机。",
            "All ten scores are 0 and the loss is exactly ln 10. The gradient that comes back to "
            "the output layer is not 0, nor are its inputs, σ(0) = 0.5, so its weights get a "
            "gradient. On the way further back that is multiplied by the output layer's weights, "
            "which are 0: the four layers before get none. With each step the gradient reaches "
            "one layer more; but the units within a layer stay all alike, which is why initial "
            "weights are random.",
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
