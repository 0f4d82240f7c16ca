INTRO = (
'''## 练习

把 `...` 换成你的答案，运行格子，就知道对不对。要提示，运行 `d2l.hint("{n}.1")`；要看解答，运行 `d2l.solution("{n}.1")`；别的题换题号。''',
'''## Exercises

Replace `...` with your answer and run the cell to see whether it is right. For a hint run `d2l.hint("{n}.1")`, for a worked solution `d2l.solution("{n}.1")`, and likewise for the other numbers.''')

TRY = ("### 接着试", "### Things to try")

# chapter -> ([(zh, en, code)], (zh list, en list))
CONTENT = {
1: ([
('''不运行代码：把第一个卷积的 `padding` 改成 0，`nn.Linear(16 * 5 * 5, 120)` 里整个 `16 * 5 * 5` 要换成多少？''',
'''Without running the net: with `padding` of the first convolution set to 0, which number must replace the whole of `16 * 5 * 5` in `nn.Linear(16 * 5 * 5, 120)`?''',
'''inputs = ...
d2l.check("1.1", inputs)'''),
('''不看上文，写一个函数，由输入的边长、卷积核边长、填充和步幅，算出卷积输出的边长。''',
'''Without looking at the code above, write a function that computes the size of a convolution's output from the sizes of its input and kernel, its padding and its stride.''',
'''def conv_size(size, kernel_size, padding, stride):
    return ...


d2l.check("1.2", conv_size)'''),
('''试着不用 `nn.Conv2d` 和 `conv2d`，自己写卷积：图像 `X` 的形状是 (H, W)，卷积核 `K` 的形状是 (h, w)；一个通道，不填充，没有偏置，步幅 1。用张量运算，让梯度能传回去。''',
'''Try to write the convolution yourself, without `nn.Conv2d` and `conv2d`: the image `X` has the shape (H, W), the kernel `K` the shape (h, w); one channel, no padding, no bias, a stride of 1. Use tensor operations, so that gradients can flow back.''',
'''def corr2d(X, K):
    return ...


d2l.check("1.3", corr2d)'''),
], (
'''- 只改初始化：去掉 `.apply(d2l.init_weights)`。平台怎样了，为什么？
- Tanh 和 Sigmoid 有两点不同：更陡，而且以零为中心。救了它的是哪一点？试试 $\\sigma(4z)$：和 Tanh 一样陡，但不以零为中心。''',
'''- Change only the initialisation: leave out `.apply(d2l.init_weights)`. What happens to the plateau, and why?
- Tanh differs from the sigmoid in two ways: it is steeper, and it is centred on zero. Which of them saved it? Try $\\sigma(4z)$: as steep as tanh, but not centred.''')),
2: ([
('''不运行代码：论文的两座塔里，第二个卷积从 96 个通道到 256 个，卷积核 5×5。去掉 `groups=2`，它有多少个参数，连偏置一起算？''',
'''Without running anything: the second convolution of the paper's two-tower network goes from 96 to 256 channels with 5×5 kernels. With `groups=2` removed, how many parameters does it have, biases included?''',
'''parameters = ...
d2l.check("2.1", parameters)'''),
('''写出训练时的丢弃法：`X` 里的数各自独立地以概率 `p` 变成零，$0 \\le p < 1$；留下的乘上同一个常数，让每个数的期望不变。`X` 不要改动，返回新的张量。''',
'''Write dropout as it works in training: each number in `X` becomes zero with probability `p`, independently of the others, $0 \\le p < 1$; those kept are scaled by a constant so that the expected value of each number stays the same. Return a new tensor and leave `X` alone.''',
'''def dropout(X, p):
    return ...


d2l.check("2.2", dropout)'''),
('''试着只用不带 `groups` 的 `nn.functional.conv2d` 写出分组卷积：`X` 的形状是 (N, C, H, W)，`weight` 的形状是 (O, C / groups, K, K)，没有偏置，不填充。''',
'''Try to write a grouped convolution with `nn.functional.conv2d` used only without `groups`: `X` has the shape (N, C, H, W), `weight` the shape (O, C / groups, K, K); no bias, no padding.''',
'''def grouped_conv(X, weight, groups):
    return ...


d2l.check("2.3", grouped_conv)'''),
], (
'''- 照论文第 5 节初始化：写一个函数，用标准差 0.01 的 `nn.init.normal_` 初始化每层的权重，在试学习率和比赛的格子里都用它代替 `d2l.init_weights`，重做实验 1。倍数变了吗？
- 用没有增强的 `plain` 代替 `data` 训练两个网络，一个有丢弃法，一个没有，重做实验 2。它的两条结论怎样了？''',
'''- Initialise as in section 5 of the paper: write a function that initialises the weights of every layer by `nn.init.normal_` with a standard deviation of 0.01, use it for `d2l.init_weights` in both the trial and the race cell, and repeat experiment 1. Does the ratio change?
- Train both nets, with dropout and without, on the unaugmented `plain` in place of `data`, and repeat experiment 2. What becomes of its two verdicts?''')),
3: ([
('''不运行代码：给 VGG-16 一张 448×448 的图像，最后一次池化之后，展平成多少个数？（第一个全连接层只收 25,088 个。）''',
'''Without running anything: VGG-16 gets an image of 448×448. How many numbers are there after the last pooling, flattened? (The first fully connected layer takes only 25,088.)''',
'''inputs = ...
d2l.check("3.1", inputs)'''),
('''写一个函数，算最后一层的一个输出在输入图像上的感受野有几个像素宽。`layers` 由浅到深列出每个卷积或池化的（窗口边长，步幅），例如 `[(3, 1), (2, 2)]`，结果应是 4。''',
'''Write a function for the receptive field of one output of the last layer, in input pixels along one side. `layers` lists (window size, stride) of each convolution or pooling from first to last; `[(3, 1), (2, 2)]`, say, should give 4.''',
'''def field_size(layers):
    return ...


d2l.check("3.2", field_size)'''),
('''不看上文，写出 VGG 块：`convs` 个不改变高和宽的 3×3 卷积，每个后面一个 ReLU，最后一次 2×2 最大池化，返回 `nn.Module`。''',
'''Without looking at the code above, write a VGG block: `convs` 3×3 convolutions that keep height and width, each followed by ReLU, then one 2×2 max pooling; return an `nn.Module`.''',
'''def build_block(convs, in_channels, channels):
    return ...


d2l.check("3.3", build_block)'''),
], None),
4: ([
('''不运行代码：`nn.Conv2d(192, 160, kernel_size=1)` 在 32×32 的图上做多少次乘加？''',
'''Without running anything: how many multiply-adds does `nn.Conv2d(192, 160, kernel_size=1)` make on maps of 32×32?''',
'''multiply_adds = ...
d2l.check("4.1", multiply_adds)'''),
('''不用卷积函数，写出 1×1 卷积：`X` 的形状是 (N, C, H, W)，`weight` 的形状是 (O, C)，`bias` 的形状是 (O,)。梯度要能传回 `weight`。''',
'''Write a 1×1 convolution without calling any convolution function: `X` has the shape (N, C, H, W), `weight` the shape (O, C), `bias` the shape (O,). Gradients must be able to flow back to `weight`.''',
'''def conv1x1(X, weight, bias):
    return ...


d2l.check("4.2", conv1x1)'''),
('''卷积的权重取均值为 0 的正态分布。标准差取多少，经过卷积和 ReLU，均方值才不变？返回标准差，不是方差；卷积没有偏置。''',
'''A convolution's weights are drawn from a normal distribution of mean 0. Which standard deviation leaves the mean square unchanged after the convolution and a ReLU? Return the deviation, not the variance; there is no bias.''',
'''def keeping_std(kernel_size, in_channels, out_channels):
    return ...


d2l.check("4.3", keeping_std)'''),
], None),
5: ([
('''不运行代码：3a 块里，把 5×5 卷积（16 到 32 通道）换成两个 3×3，中间 16 个通道。这两个卷积一共有多少个参数，连偏置一起算？''',
'''Without running anything: in block 3a, replace the 5×5 convolution (from 16 to 32 channels) with two 3×3 convolutions that have 16 channels between them. How many parameters do the two have together, biases included?''',
'''parameters = ...
d2l.check("5.1", parameters)'''),
('''先用 1×1 卷积把 `in_channels` 个通道降到 `reduced` 个，再做边长 `kernel_size` 的卷积，输出 `channels` 个通道。从 `in_channels` 直接卷积到 `channels`，乘加是它的几倍？图的大小不变。''',
'''A 1×1 convolution first reduces `in_channels` channels to `reduced`, then a convolution of size `kernel_size` produces `channels` channels. By what factor does this cut the multiply-adds, compared with the direct convolution from `in_channels` to `channels`? The maps keep their size.''',
'''def saving(in_channels, reduced, channels, kernel_size):
    return ...


d2l.check("5.2", saving)'''),
('''不看上文，写一个模块：几路看同一个输入，输出沿通道接起来。路数不定。''',
'''Without looking at the code above, write a module in which any number of branches see the same input and their outputs are joined along the channels.''',
'''class Parallel(nn.Module):
    def __init__(self, *branches):
        super().__init__()

    def forward(self, X):
        return ...


d2l.check("5.3", Parallel)'''),
], None),
6: ([
('''不运行代码：给 `nn.Conv2d(16, 24, 3, padding=1)` 接上 `nn.BatchNorm2d(24)`，再去掉从此没用的偏置。要学的参数一共多了多少个？''',
'''Without running anything: `nn.Conv2d(16, 24, 3, padding=1)` gets `nn.BatchNorm2d(24)` after it and loses its biases, which are now useless. How many learned parameters are there more than before?''',
'''parameters = ...
d2l.check("6.1", parameters)'''),
('''不看上文，写出训练模式的批量归一化（不用管滑动平均）：`X` 的形状是 (N, C, H, W)，`gamma` 和 `beta` 的形状是 (C,)。梯度要能传回 `X`。''',
'''Without looking at the code above, write batch normalisation in training mode (no running averages needed): `X` has the shape (N, C, H, W), `gamma` and `beta` have the shape (C,). Gradients must be able to flow back to `X`.''',
'''def batch_norm(X, gamma, beta, epsilon):
    return ...


d2l.check("6.2", batch_norm)'''),
('''评估模式下，卷积和跟着的归一化可以并成一个卷积。写一个函数，由 `nn.Conv2d` 和 `nn.BatchNorm2d` 造出它，原来的两层不改动。（`groups`、`dilation` 和 `padding_mode` 都是默认值。）''',
'''In evaluation mode, a convolution and the normalisation after it can be folded into one convolution. Write a function that makes it from an `nn.Conv2d` and an `nn.BatchNorm2d`, and leaves both as they are. (`groups`, `dilation` and `padding_mode` have their default values.)''',
'''def fold(conv, bn):
    return ...


d2l.check("6.3", fold)'''),
], None),
7: ([
('''不运行代码：把 `cifar_resnet` 三段的宽度加倍，改成 32、64、128。捷径从 A 换成 B，多了多少个参数？''',
'''Without running anything: double the widths of the three stages of `cifar_resnet`, to 32, 64 and 128. How many parameters does it gain if its shortcuts change from A to B?''',
'''parameters = ...
d2l.check("7.1", parameters)'''),
('''写一个评估函数：`batches` 给出一批批图像和标签，返回 0 到 1 之间的准确率。网络用完要和原来一模一样，每一层的模式也是。''',
'''Write an evaluation: `batches` gives mini-batches of images and labels; return the accuracy, between 0 and 1. Afterwards the net must be exactly as it was, the mode of every layer included.''',
'''def evaluate(net, batches):
    return ...


d2l.check("7.2", evaluate)'''),
('''不看上文，写出残差块：两个 3×3 卷积带批量归一化，形状不变时捷径是恒等映射；形状变了，捷径用哪一种都行。相加之后再过 ReLU。''',
'''Without looking at the code above, write a residual block: two 3×3 convolutions with batch normalisation, and the identity as shortcut where the shape stays; where it changes, either kind of shortcut will do. A ReLU follows the sum.''',
'''class Block(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__()

    def forward(self, X):
        return ...


d2l.check("7.3", Block)'''),
], None),
}
# What of the old lists stays as "things to try", by number in the old list.
KEEP = {3: (2, 3, 4), 4: (2, 3, 4), 5: (2, 3, 4), 6: (2, 3, 4), 7: (2, 3, 4, 5)}
