"""A trained network that answers while the reader draws, computed in the page itself."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from html import escape
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .data import ImageData
from .nets import layers_of
from .say import Text, chosen_languages
from .untouched import evaluating

__all__ = ["live"]

_ACTIVATIONS = {nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.ReLU: "relu"}
_POOLINGS = {nn.AvgPool2d: "avgpool", nn.MaxPool2d: "maxpool"}
_SIDE = 28  # of the image, as in MNIST
_STILL_WIDTH = 500  # on the page, of a still picture that has twice as many pixels

WORDS = {
    "pad": {"zh": "在这里画一个数字", "en": "draw a digit here"},
    "seen": {"zh": "网络看到的", "en": "what the network sees"},
    "clear": {"zh": "清除", "en": "Clear"},
    "presets": {"zh": "示例数字", "en": "example digits"},
    "example": {"zh": "示例", "en": "example"},
    "after": {"zh": "训练后", "en": "after training"},
    "before": {"zh": "训练前", "en": "before training"},
    "maps": {"zh": "特征图", "en": "feature maps"},
}
"""The page's words by language; the element's ``data-languages`` says which are shown."""

_STYLE = """
.d2l-live { font: 14px system-ui, sans-serif; max-width: 720px; }
.d2l-live-stage { display: flex; flex-wrap: wrap; gap: 16px; }
.d2l-live-stage[hidden] { display: none; }
.d2l-live canvas { image-rendering: pixelated; background: black; }
.d2l-live-pad { width: 224px; height: 224px; touch-action: none; cursor: crosshair; }
.d2l-live-pad, .d2l-live button { border: 1px solid #767676; }
.d2l-live-seen { width: 84px; height: 84px; }
.d2l-live-presets { display: flex; flex-wrap: wrap; gap: 4px; max-width: 224px; margin-top: 6px; }
.d2l-live-presets button { padding: 0; width: 41px; height: 41px; cursor: pointer; }
.d2l-live-presets canvas { width: 100%; height: 100%; display: block; }
.d2l-live-clear { font: inherit; margin-top: 6px; padding: 4px 12px; min-height: 32px; }
.d2l-live table { border-collapse: collapse; }
.d2l-live th { font-weight: normal; text-align: left; padding: 0 8px 0 0; }
.d2l-live meter { width: 110px; height: 12px; }
.d2l-live-maps { flex-basis: 100%; display: flex; flex-wrap: wrap; gap: 12px; }
.d2l-live-maps figure { margin: 0; }
.d2l-live-maps canvas { height: 64px; max-width: 100%; }
.d2l-live-maps canvas.two { height: 129px; }
.d2l-live-still { max-width: 100%; }
.d2l-live-answer { min-height: 1.5em; font-weight: 600; }
"""


class Live:
    """What ``live`` returns: it displays itself, as a page that answers or as a still picture."""

    def __init__(self, html: str, still: bytes, description: Text):
        self.html, self.still, self.description = html, still, description

    def __repr__(self) -> str:
        return str(self.description)

    def _repr_html_(self) -> str:
        return self.html


def live(net: nn.Module, data: ImageData, *, before: nn.Module | None = None) -> Live:
    """A pad to draw a digit on, and what ``net`` makes of it: feature maps and scores.

    Everything is computed in the page, in JavaScript, from the network's weights as 16-bit
    integers; nothing is sent anywhere. What is drawn is scaled and centred as MNIST's digits
    were (LeCun et al., "Gradient-based learning applied to document recognition", 1998: 20×20
    pixels, the centre of mass in the middle of 28×28). Where scripts do not run, a still picture
    is shown.

    Args:
        net: an ``nn.Sequential`` of convolutions, average and maximum pooling, sigmoid, tanh,
            ReLU, flatten and linear layers that maps (B, 1, 28, 28) to class scores (B, K).
        data: what ``load_mnist`` returned: normalisation, class names, and ten example digits.
        before: the same network before training, to be compared.

    Raises:
        TypeError: a layer is none of these.
        ValueError: a layer has an option that is not supported, the images are not grey 28×28, or
            ``net`` or ``before`` does not give one score for each class.
    """
    given = [each for each in (net, before) if each is not None]
    nets = [_describe(each) for each in given]
    shape = tuple(data.test.dataset.images.shape[1:])
    if shape != (1, _SIDE, _SIDE):
        raise ValueError(
            Text(
                zh=f"图像的形状是 {shape}；只能画 28×28 的灰度图，请用 load_mnist 返回的数据。",
                en=f"the images have the shape {shape}; only grey ones of 28×28 can be drawn: "
                "pass what load_mnist returns.",
            )
        )
    presets = _examples(data)
    for each in given:
        _scores(each, presets[0], data)  # refuses a wrong number of them
    model = {
        "nets": nets,
        "mean": data.mean.item(),
        "std": data.std.item(),
        "classes": list(data.classes),
        "presets": [_pack(image) for image in presets],
        "words": WORDS,
    }
    payload = json.dumps(model).replace("</", "<\\/")
    name = "d2l-live-" + hashlib.sha256(payload.encode()).hexdigest()[:12]
    still, description = _still(net, presets[3], data)
    html = _page(name, payload, net, before is not None, data, still, str(description))
    return Live(html, still, description)


def _describe(net: nn.Module) -> list[dict]:
    """The layers as the page needs them."""
    if type(net).forward is not nn.Sequential.forward:
        raise TypeError(_refused(net))
    layers = []
    for module in net:  # a class derived from a layer's may compute something else
        if isinstance(module, nn.Sequential):
            layers += _describe(module)
        elif type(module) is nn.Conv2d:
            _must_be(module, groups=1, dilation=(1, 1), padding_mode="zeros")
            if isinstance(module.padding, str):
                raise ValueError(_refused_option(module, "padding", module.padding))
            layers.append({"kind": "conv", **_window(module), **_weights(module)})
        elif type(module) in _POOLINGS:
            _must_be(module, ceil_mode=False)
            if type(module) is nn.MaxPool2d:
                _must_be(module, dilation=1)
            else:
                _must_be(module, count_include_pad=True, divisor_override=None)
            layers.append({"kind": _POOLINGS[type(module)], **_window(module)})
        elif type(module) in _ACTIVATIONS:
            layers.append({"kind": _ACTIVATIONS[type(module)]})
        elif type(module) is nn.Flatten:
            _must_be(module, start_dim=1, end_dim=-1)
            layers.append({"kind": "flatten"})
        elif type(module) is nn.Linear:
            layers.append({"kind": "linear", **_weights(module)})
        else:
            raise TypeError(_refused(module))
    return layers


def _refused(module: nn.Module) -> Text:
    kind = type(module).__name__
    return Text(
        zh=f"live 不认识 {kind}；网络要是 nn.Sequential，"
        "由卷积、平均或最大池化、sigmoid、tanh、ReLU、Flatten 和 Linear 组成。",
        en=f"live does not know {kind}; expected an nn.Sequential of convolutions, average or "
        "maximum pooling, sigmoid, tanh, ReLU, Flatten and Linear.",
    )


def _refused_option(module: nn.Module, name: str, value: object) -> Text:
    kind = type(module).__name__
    return Text(
        zh=f"live 不支持 {kind} 的 {name}={value!r}。",
        en=f"live does not support {name}={value!r} of {kind}.",
    )


def _must_be(module: nn.Module, **options: object) -> None:
    for name, expected in options.items():
        found = getattr(module, name)
        if found != expected:
            raise ValueError(_refused_option(module, name, found))


def _window(module: nn.Conv2d | nn.AvgPool2d | nn.MaxPool2d) -> dict[str, list[int]]:
    options = {"size": module.kernel_size, "stride": module.stride, "padding": module.padding}
    return {name: list(v) if isinstance(v, tuple) else [v, v] for name, v in options.items()}


def _weights(module: nn.Conv2d | nn.Linear) -> dict[str, dict]:
    bias = module.bias if module.bias is not None else torch.zeros(len(module.weight))
    return {"weight": _pack(module.weight), "bias": _pack(bias)}


def _pack(tensor: Tensor) -> dict[str, str | float]:
    """Numbers as 16-bit integers times a scale: an error below 1/65,000 of the largest."""
    values = tensor.detach().cpu().double().numpy().ravel()  # an Apple GPU has no double
    scale = max(float(np.abs(values).max()), 1e-12) / 32767
    whole = np.round(values / scale).astype("<i2")
    return {"data": base64.b64encode(whole.tobytes()).decode(), "scale": scale}


def _examples(data: ImageData) -> list[Tensor]:
    """The first test image of each class, as float32 (28, 28) in [0, 1]."""
    images, labels = data.test.dataset.images.cpu(), data.test.dataset.labels.cpu()
    first = [int((labels == label).int().argmax()) for label in range(len(data.classes))]
    return [images[i, 0].float() / 255 for i in first]


def _scores(net: nn.Module, image: Tensor, data: ImageData) -> Tensor:
    """What ``net`` answers to an image in [0, 1]: one score for each class."""
    X = ((image - data.mean) / data.std)[None, None].to(next(net.parameters(), image))
    with evaluating(net), torch.no_grad():
        scores = net(X)
    found, expected = tuple(scores.shape), (1, len(data.classes))
    if found != expected:
        raise ValueError(
            Text(
                zh=f"网络对一张图像的输出的形状是 {found}；应是 {expected}，每个类别一个得分。"
                f"请让最后一层是 Linear(…, {expected[1]})。",
                en=f"for one image the network's output has the shape {found}; expected "
                f"{expected}, a score for each class: let the last layer be "
                f"Linear(…, {expected[1]}).",
            )
        )
    return scores[0]


def _still(net: nn.Module, image: Tensor, data: ImageData) -> tuple[bytes, Text]:
    """A picture of one example, its score for each class, and what it shows."""
    from matplotlib.figure import Figure
    from PIL import Image

    shares = _scores(net, image, data).softmax(dim=0).tolist()
    figure = Figure(figsize=(5, 2), dpi=2 * _STILL_WIDTH / 5, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(image.numpy(), cmap="gray")
    left.set_axis_off()
    right.barh(range(len(shares)), shares, color="#0072B2")
    right.set(yticks=range(len(shares)), xlim=(0, 1), xlabel="share (softmax)")
    right.set_yticklabels(data.classes, fontsize=7)
    right.invert_yaxis()
    drawn, picture = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    # A third of the size, which counts in a notebook: greys and one colour need no more.
    Image.open(drawn).convert("RGB").quantize(64).save(picture, format="png", optimize=True)
    best = data.classes[shares.index(max(shares))]
    description = Text(
        zh=f"一个手写数字；网络的回答是 {best}（{max(shares):.2f}）。",
        en=f"A handwritten digit; the network answers {best} ({max(shares):.2f}).",
    )
    return picture.getvalue(), description


def _page(
    name: str,
    payload: str,
    net: nn.Module,
    compares: bool,
    data: ImageData,
    still: bytes,
    description: str,
) -> str:
    """The page; its script puts the words into what has ``data-word`` and ``data-label``."""
    columns = ["after", "before"][: 1 + compares]
    head = "".join(f'<th scope="col" data-word="{column}"></th>' for column in columns)
    rows = ""
    for label in map(escape, data.classes):
        cells = "".join(
            f'<td class="d2l-live-bars-{i}"><meter min="0" max="1" value="0" '
            f'data-label="{column}" data-of="{label}"></meter></td>'
            for i, column in enumerate(columns)
        )
        rows += f'<tr><th scope="row">{label}</th>{cells}</tr>'
    presets = "".join(
        f'<button type="button" data-label="example" data-of="{label}"><canvas></canvas></button>'
        for label in map(escape, data.classes)
    )
    maps = ""
    for layer in layers_of(net, (1, _SIDE, _SIDE)):
        # A convolution's maps are shown after their activation.
        if len(layer.shape) == 3 and layer.shape[1] > 1 and layer.kind != "Conv2d":
            tall = ' class="two"' if layer.shape[0] > 8 else ""
            label = escape(layer.label)
            maps += (
                f"<figure><figcaption>{label} {layer.size}</figcaption>"
                f'<canvas{tall} role="img" data-label="maps" data-of="{label}"></canvas></figure>'
            )
    source = base64.b64encode(still).decode()
    script = Path(__file__).with_name("live.js").read_text(encoding="utf-8")
    return f"""<div class="d2l-live" id="{name}" data-languages="{" ".join(chosen_languages())}">\
<style>{_STYLE}</style>
<img class="d2l-live-still" alt="{escape(description)}" width="{_STILL_WIDTH}" \
src="data:image/png;base64,{source}">
<div class="d2l-live-stage" hidden>
<div><div data-word="pad"></div>
<canvas class="d2l-live-pad" width="224" height="224" role="img" data-label="pad"></canvas>
<div class="d2l-live-presets" role="group" data-label="presets">{presets}</div>
<button type="button" class="d2l-live-clear" data-word="clear"></button></div>
<div><div data-word="seen"></div>
<canvas class="d2l-live-seen" role="img" data-label="seen"></canvas>
<div class="d2l-live-answer" aria-live="polite"></div>
<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>
<div class="d2l-live-maps">{maps}</div>
</div>
<script>(function () {{
const root = document.getElementById("{name}");
if (!root || root.dataset.ready) return;
root.dataset.ready = "yes";
{script}
live(root, {payload});
}})();</script></div>"""
