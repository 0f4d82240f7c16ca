"""Exercises of chapter 7: shortcuts, a trustworthy evaluation, and the bottleneck block."""

import copy

import torch
from torch import nn

from ..say import Text
from .base import (
    Exercise,
    Wrong,
    filled_in,
    is_number,
    must_be_number,
    must_equal,
    must_have_shape,
)


def evaluate(net, batches):
    modes = {module: module.training for module in net.modules()}
    correct, samples = 0, 0
    net.eval()
    with torch.no_grad():
        for X, y in batches:
            correct += (net(X).argmax(dim=1) == y).sum().item()
            samples += len(y)
    for module, mode in modes.items():
        module.training = mode
    return correct / samples


def check_evaluate(answer):
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3))
    nn.init.uniform_(net[1].running_mean, -2, 2)
    X = torch.randn(50, 1, 2, 2)
    with torch.no_grad():
        right = copy.deepcopy(net).eval()(X).argmax(dim=1)
    y = torch.where(torch.arange(50) < 32, right, (right + 1) % 3)  # all of two batches, none after
    batches = [(X[i : i + 16], y[i : i + 16]) for i in range(0, 50, 16)]
    for training, frozen in ((True, False), (False, True), (True, True)):
        net.train(training)
        net[1].train(not frozen)
        modes = [module.training for module in net.modules()]
        before = copy.deepcopy(net.state_dict())
        found = must_be_number(answer(net, batches))
        if any(v.device.type != "cpu" for v in net.state_dict().values()):
            raise Wrong("网络被搬到了别的设备上。", "The net was moved to another device.")
        if any(not torch.equal(v, before[k]) for k, v in net.state_dict().items()):
            raise Wrong(
                "评估改变了网络（批量归一化的滑动平均也算）。",
                "Evaluation changed the net (batch normalisation's running averages count).",
            )
        if not abs(found - 32 / 50) < 1e-6:
            raise Wrong(
                f"50 张里对了 32 张，分成 16、16、16、2 四批，应是 0.64，得到的是 {found:.4g}。",
                f"32 of 50 are right, in batches of 16, 16, 16 and 2: expected 0.64, got "
                f"{found:.4g}.",
            )
        if [module.training for module in net.modules()] != modes:
            raise Wrong(
                "评估完，网络的每一层都应回到原来的模式，冻结在评估模式的层也是。",
                "After evaluation every layer should be back in the mode it was in, also one "
                "frozen in evaluation mode.",
            )


class Bottleneck(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__()

        def conv_norm(inputs, outputs, kernel_size, stride=1):
            padding = kernel_size // 2
            conv = nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=False)
            return conv, nn.BatchNorm2d(outputs)

        self.f = nn.Sequential(
            *conv_norm(in_channels, channels, 1),
            nn.ReLU(),
            *conv_norm(channels, channels, 3, stride),
            nn.ReLU(),
            *conv_norm(channels, 4 * channels, 1),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or in_channels != 4 * channels:
            self.shortcut = nn.Sequential(*conv_norm(in_channels, 4 * channels, 1, stride))

    def forward(self, X):
        return torch.relu(self.f(X) + self.shortcut(X))


def check_bottleneck(answer):
    for in_channels, channels, stride in ((16, 4, 1), (16, 8, 2), (8, 4, 1), (16, 4, 2)):
        block = filled_in(answer(in_channels, channels, stride))
        where = f"({in_channels}, {channels}, {stride})"
        shape = 2, 4 * channels, 8 // stride, 12 // stride
        Y = must_have_shape(block(torch.randn(2, in_channels, 8, 12)), shape, Text(where, where))
        if (Y < 0).any():
            raise Wrong(
                f"{where}：相加之后还有一个 ReLU，输出不该有负数。",
                f"{where}: a ReLU follows the sum, so no output should be negative.",
            )
        weights = in_channels * channels + 9 * channels**2 + 4 * channels**2 + 2 * 6 * channels
        if stride > 1 or in_channels != 4 * channels:
            weights += in_channels * 4 * channels + 2 * 4 * channels
        found = sum(p.numel() for p in block.parameters())
        if found != weights:
            raise Wrong(
                f"{where}：应有 {weights} 个参数，这里有 {found} 个。看看偏置、归一化和捷径。",
                f"{where}: expected {weights} parameters, found {found}; look at biases, "
                "normalisation and the shortcut.",
            )
    _check_order(answer(16, 4).eval())


def _check_order(block):
    """Where the shape stays: ReLU(f(x) + x), a ReLU after the first two normalisations."""
    convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    windows = sorted(conv.kernel_size[0] for conv in convs)
    if windows != [1, 1, 3] or len(norms) != 3:
        raise Wrong(
            "形状不变时，块里应有 1×1、3×3、1×1 三个卷积和三个批量归一化，"
            f"这里卷积的窗口是 {windows}，归一化有 {len(norms)} 个。",
            "Where the shape stays, a block has convolutions of 1×1, 3×3 and 1×1 and three batch "
            f"normalisations; found windows of {windows} and {len(norms)} normalisations.",
        )
    for norm in norms:
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            nn.init.uniform_(values, 0.5, 2)
    reduce = next(m for m in convs if m.out_channels == 4 and m.kernel_size == (1, 1))
    middle = next(m for m in convs if m.kernel_size == (3, 3))
    expand = next(m for m in convs if m.out_channels == 16)
    narrow = [norm for norm in norms if norm.num_features == 4]
    (wide,) = (norm for norm in norms if norm.num_features == 16)
    X = torch.randn(8, 16, 9, 9)
    Y = wide(expand(narrow[1](middle(narrow[0](reduce(X)).relu())).relu()))
    case = Text("ReLU(f(x) + x)，评估模式", "ReLU(f(x) + x) in evaluation mode")
    must_equal(block(X.clone()), (Y + X).relu(), case)


EXERCISES = (
    Exercise(
        check=is_number(
            10_624,
            {
                2_752: Text(
                    "那是宽度为 16、32、64 时的个数。",
                    "That is the number for widths of 16, 32 and 64.",
                ),
                10_240: Text(
                    "归一化的参数还没有算。", "The normalisation's parameters are missing."
                ),
                10_816: Text(
                    "这里的 1×1 卷积没有偏置，跟着的是归一化。",
                    "The 1×1 convolutions have no bias here; normalisation follows them.",
                ),
            },
        ),
        hint=Text(
            "只有两处的捷径要变形状：32 到 64、64 到 128 通道。各有一个不带偏置的 1×1 卷积，"
            "和每通道两个参数的归一化。",
            "Only two shortcuts change the shape: from 32 to 64 and from 64 to 128 channels. Each "
            "gets a 1×1 convolution without bias, and normalisation with two parameters a channel.",
        ),
        solution="(32 * 64 + 2 * 64) + (64 * 128 + 2 * 128)",
        why=Text(
            "捷径 A 没有参数，所以这些全是多出来的；和层数无关。",
            "Shortcuts of kind A have no parameters, so all of these are new, however many layers "
            "there are.",
        ),
    ),
    Exercise(
        check=check_evaluate,
        hint=Text(
            "数对了几张、一共几张，最后才除，因为末一批可能小些。先换到评估模式，最后换回去。",
            "Count the right answers and the samples and divide at the end, since the last batch "
            "may be smaller. Change to evaluation mode first, and back at the end.",
        ),
        solution=evaluate,
        why=Text(
            "训练模式下，每次前向传播都会更新滑动平均，测试图像就混进了网络。",
            "In training mode each forward pass updates the running averages, and test images "
            "get into the network.",
        ),
    ),
    Exercise(
        check=check_bottleneck,
        hint=Text(
            "卷积、归一化、ReLU，三遍，最后一个 ReLU 挪到加上捷径之后。3×3 的卷积带步幅，填充 1。"
            "形状变了（步幅大于 1，或输入的通道不是 4 * channels），捷径就是步幅相同的 1×1 卷积"
            "加归一化。",
            "Convolution, normalisation, ReLU, three times, with the last ReLU moved behind the "
            "sum. The 3×3 convolution has the stride and a padding of 1. Where the shape changes "
            "(a stride above 1, or other than 4 * channels inputs) the shortcut is a 1×1 "
            "convolution with the same stride, and normalisation.",
        ),
        solution=Bottleneck,
        why=Text(
            "3×3 的卷积只算四分之一的通道，所以块的两头可以宽四倍，计算量差不多：ResNet-50 靠它"
            "加深。",
            "The 3×3 convolution works on a quarter of the channels, so that the block's ends can "
            "be four times as wide at much the same cost: that is how ResNet-50 gets deeper.",
        ),
    ),
)
