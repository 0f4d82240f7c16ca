def curves(zh, en):
    return [(f"两幅曲线图，左为损失，右为准确率，横轴是轮。{zh}", f"Two line charts over the epochs, loss on the left and accuracy on the right. {en}")]
TRAIN = curves("实线是训练集，虚线是每轮都评估的那一份，最后一轮的大标记是测试集。", "Solid lines are the training set, dashed ones the set evaluated after every epoch; a large marker in the last epoch is the test set.")
def confusion(n): return [(f"混淆矩阵，{n} 行是真实的类，{n} 列是预测的类；格子里是测试图像的张数，对角线上是认对的。", f"Confusion matrix: {n} rows of true classes, {n} columns of predicted ones, each cell a number of test images; the diagonal holds those that are right.")]
WORST = [("损失最大的测试图像，每张上方写着真实的类和预测的类。", "The test images with the largest loss, each with its true and its predicted class above.")]
PRED = [("一批测试图像，每张上方写着真实的类，认错的还写着预测的类。", "Some test images, each with its true class above, and the predicted one where it is wrong.")]
ALTS = {
1: {
 'grid': [("40 张手写数字的训练图像，每张上方写着标签。", "40 training images of handwritten digits, each with its label above.")],
 'balance': [("柱状图：0 到 9 各有多少张训练图像；十根柱子差不多高。", "Bar chart of the number of training images of each digit; the ten bars are about equally high.")],
 'curves': curves("实线是训练集，虚线是测试集。开头几轮是平的，之后损失下降，准确率上升。", "Solid lines are the training set, dashed ones the test set. The first epochs are flat; then loss falls and accuracy rises."),
 'predictions': PRED, 'worst': WORST, 'confusion': confusion(10),
 'features': [("第一个卷积对一张测试图像的 6 幅特征图，各自突出笔画的不同边缘。", "Six feature maps of the first convolution for one test image, each bringing out other edges of the strokes.")],
 'norms-figure': [("左右两列各是一种激活函数。上排是训练损失和 ln 10 的虚线，下排是五层权重的梯度范数，纵轴取对数，横轴是训练的步数。", "Two columns, one for each activation function. Above, the training loss with a dotted line at ln 10; below, the gradient norms of five layers on a logarithmic scale, against the training step.")],
 'activation': curves("每种激活函数配一种学习率是一条线。", "One line for each activation function and learning rate."),
 'mlp-train': curves("一条线是 LeNet，一条线是参数一样多的 MLP。", "One line is LeNet, the other an MLP with as many parameters."),
 'shuffle-train': curves("四条线：LeNet 和 MLP，像素各有原样的和打乱的。", "Four lines: LeNet and MLP, each with pixels in order and shuffled."),
},
2: {
 'grid': [("40 张 CIFAR-10 训练图像，每张上方写着类名。", "40 training images of CIFAR-10, each with its class above.")],
 'balance': [("柱状图：十个类各有多少张训练图像，虚线是平分时的张数；各柱差不多高。", "Bar chart of the training images in each of ten classes, with a dotted line at equal shares; the bars are about equally high.")],
 'augment': [("同一张训练图像的 20 个版本：原图，和随机翻转、平移之后的 19 张，边上补了黑边。", "Twenty versions of one training image: the original and 19 flipped and shifted at random, with black where the shift left a border.")],
 'train': TRAIN,
 'predictions': PRED + WORST, 'confusion': confusion(10),
 'filters': [("训练之后第一层的卷积核，每个是一小块彩色图案。", "The first layer's filters after training, each a small patch of colour."), ("同样的卷积核，只画训练改变了多少：有边缘，也有颜色块。", "The same filters, showing only what training changed: edges and patches of colour.")],
 'race': [("训练错误率随轮数下降的两条线，ReLU 和 tanh，横线标出 25 %。", "Two falling lines of training error over the epochs, ReLU and tanh, with a horizontal line at 25 %.")],
 'dropout-train': curves("一条线有丢弃法，一条线没有。", "One line with dropout, one without."),
},
3: {
 'gradients-figure': [("四幅热图：输出的中间像素对输入的梯度。两个 3×3 和一个 5×5 看到的方块一样大，三个 3×3 和一个 7×7 也是；叠起来的，越靠中间越强。", "Four heat maps of the gradient of the middle output pixel with respect to the input. Two 3×3 see a square as large as one 5×5, and three 3×3 one as large as one 7×7; in the stacks it is strongest in the middle.")],
 'curves': TRAIN, 'predictions': PRED, 'worst': WORST, 'confusion': confusion(10),
 'features': [("一张测试图像和它的类名。", "One test image with its class."),
   ("第 1 块对它的 8 幅特征图，还看得出轮廓。", "Eight feature maps of block 1 for it; outlines can still be made out."),
   ("第 2 块的 8 幅特征图，更小、更粗。", "Eight feature maps of block 2, smaller and coarser."),
   ("第 3 块的 8 幅特征图，只剩几个亮斑。", "Eight feature maps of block 3, with only a few bright spots left.")],
 'pairs': curves("一条线每块两个 3×3，一条线每块一个 5×5。", "One line with two 3×3 per block, one with a single 5×5."),
 'depth': curves("每种深度一条线，乘加差不多。", "One line for each depth, at about equal multiply-adds."),
},
4: {
 'curves': TRAIN, 'predictions': PRED, 'worst': WORST, 'confusion': confusion(10),
 'maps-figure': [("一张认对的测试图像，和十个类的激活图：橙色的格子抬高这个类的分数，紫色的压低它，标题里是平均值。", "A test image that is recognised, and the class activation maps of all ten classes: orange cells raise the score of a class, purple ones lower it, and the mean is in each title.")],
 'heads-train': curves("三条线：平均、最大和全连接三种头。", "Three lines: the average, max and dense heads."),
 'signal-figure': [("训练之前逐层的两幅折线图，左为信号的均方根，右为梯度的范数，纵轴取对数；每种初始化一条线。", "Two line charts over the layers before training, the root mean square of the signal on the left and the norm of the gradient on the right, on logarithmic scales; one line for each initialisation.")],
 'start': curves("每种初始化一条线，只训练几轮。", "One line for each initialisation, over a few epochs."),
},
5: {
 'headline': TRAIN, 'worst': WORST, 'confusion': confusion(10),
 'naive-train': curves("一条线是 Inception 块，一条线是朴素块，乘加差不多。", "One line is the Inception block, the other the naive block, at about equal multiply-adds."),
 'branches': curves("每条线去掉一条支路，另有一条线全部保留。", "Each line leaves out one branch; one keeps all."),
 'together-figure': [("两幅散点图，纵轴都是测试准确率，横轴取对数：左边是一张图像的乘加，右边是训练秒数；一个网络一个点，竖线是标准差。", "Two scatter plots of test accuracy, against multiply-adds an image on the left and training time in seconds on the right, on logarithmic scales; one point a network, with bars of one standard deviation.")],
},
6: {
 'lenet-train': curves("一条线有批量归一化，一条线没有。", "One line with batch normalisation, one without."),
 'sweep-figure': [("折线图：横轴是最高学习率，取对数，纵轴是验证准确率；有批量归一化的一条线在宽得多的范围里都高。", "Line chart of validation accuracy against the highest learning rate on a logarithmic scale; the line with batch normalisation is high over a much wider range.")],
 'curves': TRAIN, 'worst': WORST,
 'speed': curves("有批量归一化的一条线，和没有的、两种学习率的线。", "One line with batch normalisation, and lines without it at its own and at the same learning rate."),
},
7: {
 'gradients': [("折线图：训练之前各层权重的梯度范数，横轴是层的位置，左边靠近输入，纵轴取对数。实线、虚线、点线是 20、56、110 层，橙色是朴素网络，蓝色是残差网络。", "Line chart of the gradient norm of each layer's weights before training, against the place of the layer with the input on the left, on a logarithmic scale. Solid, dashed and dotted lines are 20, 56 and 110 layers; orange is plain, blue is residual.")],
 'headline': TRAIN,
 'plain': curves("四条线：朴素网络和残差网络，各有 20 层和 44 层。", "Four lines: plain and residual networks, each with 20 and 44 layers."),
 'long-figure': [("折线图：笔记的训练单元格接连运行几次，横轴是轮。两条训练准确率的线往上走，标准化测试图像的线低一些，原始测试图像的线低得多，而且大幅摆动；竖的点线标出单元格重新运行的地方。", "Line chart of the notes' training cell run several times in a row, over the epochs. Two lines of training accuracy rise, the one for normalised test images is lower, and the one for raw test images is far lower and swings widely; dotted vertical lines mark where the cell is run again.")],
 'small-run': curves("实线是训练集，虚线是测试集；换回大图的那一轮，测试准确率往上一跳。", "Solid lines are the training set, dashed ones the test set; test accuracy jumps in the epoch that returns to large images."),
 'confusion': confusion(10), 'worst': WORST,
 'together-figure': [("两幅散点图，纵轴都是测试准确率，横轴取对数：左边是一张图像的乘加，右边是训练秒数；一个网络一个点，竖线是标准差。", "Two scatter plots of test accuracy, against multiply-adds an image on the left and training time in seconds on the right, on logarithmic scales; one point a network, with bars of one standard deviation.")],
},
}
