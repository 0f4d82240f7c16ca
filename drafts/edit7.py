"""Chapter 7, next version: python edit7.py SRC.ipynb DST.ipynb (cell sources by id; outputs dropped where code changed)."""
import sys, nbformat
nb = nbformat.read(sys.argv[1], as_version=4)
cells = {c.id: c for c in nb.cells}
def sub(cell, *pairs):
    c = cells[cell]
    for a, b in pairs:
        assert c.source.count(a) == 1, (cell, c.source.count(a), a[:70])
        c.source = c.source.replace(a, b)
# layers counted once
sub("half",
 ("for depth in (20, 44):", "def count_layers(net):\n    return sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules())\n\n\nfor depth in (20, 44):"),
 ("        layers = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in candidate.modules())\n", ""),
 ('{layers} layers, first', '{count_layers(candidate)} layers, first'))
cells["small-size"].source = 'parameters = d2l.count_parameters(candidate)\nprint(f"{count_layers(candidate)} layers, {parameters:,} parameters to learn")'
# precision="auto" is what PRECISION spelled out
sub("cell", ('PRECISION = "bfloat16" if d2l.has_bfloat16(d2l.try_gpu()) else "float32"\n', ""), ("precision=PRECISION", 'precision="auto"'))
for cell in ("same-pipeline", "guess", "confusion"):
    sub(cell, ("precision=PRECISION", 'precision="auto"'))
sub("ablation-verdict",
 ('    for name in (name for name in tried if name != "full size"):\n        a, b = reached["whole recipe"], reached[name]\n',
  '    for name in tried:\n        if name == "full size":\n            continue\n        a, b = reached["whole recipe"], reached[name]\n'))
# no shifts in the last epochs
sub("recipe", ("CROP_PADDING = 2  # pixels of random shift", "CROP_PADDING = 2  # pixels of random shift\nSTILL_EPOCHS = 2  # at the end, without shifts"))
sub("by-epoch",
 ('    """An augmentation ``change(images, epoch)``; the images seen tell the epoch."""\n\n    def __init__(self, change, images_per_epoch):\n        self.change, self.images_per_epoch, self.seen = change, images_per_epoch, 0\n',
  '    """``change(images, generator)``, in epochs with ``when(epoch)``; images seen tell the epoch."""\n\n    def __init__(self, change, when, images_per_epoch):\n        self.change, self.when = change, when\n        self.images_per_epoch, self.seen = images_per_epoch, 0\n'),
 ("        return self.change(images, epoch)\n", "        return self.change(images, generator) if self.when(epoch) else images\n"),
 ("def flip_alternately(images, epoch):\n    return images.flip(3) if epoch % 2 else images\n", "def is_odd(epoch):\n    return epoch % 2 == 1\n\n\ndef flip_all(images, generator):\n    return images.flip(3)\n"))
sub("by-epoch-check", ("flip = ByEpoch(flip_alternately, images_per_epoch=2)", "flip = ByEpoch(flip_all, when=is_odd, images_per_epoch=2)"))
cells["small-data"].source = '''def load_small(epochs, validation_size=0, alternating=True, early=EARLY_EPOCHS, still=STILL_EPOCHS):
    """CIFAR-10, flipped, shifted except at the end, small in the early epochs; starts afresh."""
    small = d2l.load_cifar10(SMALL_BATCH, validation_size=validation_size, **sizes)
    dataset = small.train.dataset
    flip, crop = d2l.random_flip, functools.partial(d2l.random_crop, padding=CROP_PADDING)
    if alternating:
        dataset.images = flip(dataset.images, torch.Generator().manual_seed(SEED))
        flip = ByEpoch(flip_all, is_odd, len(dataset))
    dataset.augment = (
        flip,
        ByEpoch(crop, lambda epoch: epoch < epochs - still, len(dataset)),
        ByEpoch(lambda images, _: shrink(images, EARLY_SIZE), lambda epoch: epoch < early, len(dataset)),
    )
    return small'''
sub("small-run", ("small = load_small()", "small = load_small(SMALL_EPOCHS)"))
sub("ablation", ('    "random flips": {"alternating": False},\n', '    "random flips": {"alternating": False},\n    "shifts to the end": {"still": 0},\n'))
sub("ablation-run",
 ('loading = {"early": short // 2} | {\n            key: removed[key] for key in ("alternating", "early") if key in removed\n        }',
  'loading = {"early": short // 2, "still": short // 3} | {\n            key: removed[key] for key in ("alternating", "early", "still") if key in removed\n        }'),
 ("load_small(held_out, **loading)", "load_small(short, held_out, **loading)"))
sub("deeper-zh", ("所以和第 4 章的全局平均池化一样，图像多大都行。", "所以和第 4 章的全局平均池化一样，图像多大都行。\n- **末尾不平移**：平移时，图像的边上要补黑，JPEG 压缩留下的 8×8 方格也跟着错位；测试图像既没有黑边，方格也都对齐。所以最后两轮不再平移，让网络适应这样的图像。"),
 ("下面几招，除了“先小后大”都取自 airbench（Jordan，2024）", "下面几招，除了末两条都取自 airbench（Jordan，2024）"))
sub("deeper-en", ("as with global average pooling in chapter 4.", "as with global average pooling in chapter 4.\n- **No shifts at the end**: a shift leaves a black border and moves the 8×8 squares of JPEG compression out of place; test images have no border, and their squares are in place. The last two epochs therefore do without shifts, so that the network gets used to such images."),
 ("All but the last of the following ideas", "All but the last two of the following ideas"))
sub("epochs-zh", ("交替翻转和先小后大，都要知道现在是第几轮。", "交替翻转、先小后大、末尾不平移，都要知道现在是第几轮。"))
sub("epochs-en", ("Alternating flips and small images first both need to know the epoch.", "Alternating flips, small images first and no shifts at the end all need to know the epoch."))
nbformat.write(nb, sys.argv[2])
