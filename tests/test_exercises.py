"""Every exercise takes its solution and other right answers, and no plausible wrong one."""

import ast
import copy
import re

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import d2lhelpers as d2l
from d2lhelpers import exercises
from d2lhelpers.course import notebooks as files
from d2lhelpers.exercises import alexnet, batch_norm, googlenet, resnet

HAN = r"[\u4e00-\u9fff]"


def other_corr2d(X, K):
    return F.conv2d(X[None, None], K[None, None]).squeeze()


def other_grouped_conv(X, weight, groups):
    return F.conv2d(X, weight, groups=groups)


def other_unit_signals(net, X):
    """Measured with hooks, in as many passes as there are layers."""
    for name in d2l.layer_signals(net, X):
        net.get_submodule(name).weight.data /= d2l.layer_signals(net, X)[name]
    return net


def torchvision_bottleneck(in_channels, channels, stride=1):
    shortcut = None
    if stride > 1 or in_channels != 4 * channels:
        conv = nn.Conv2d(in_channels, 4 * channels, 1, stride, bias=False)
        shortcut = nn.Sequential(conv, nn.BatchNorm2d(4 * channels))
    return torchvision.models.resnet.Bottleneck(in_channels, channels, stride, shortcut)


RIGHT = {
    "1.1": [256.0],
    "1.3": [other_corr2d],
    "2.2": [lambda X, p: F.dropout(X, p)],
    "2.3": [other_grouped_conv],
    "3.3": [other_unit_signals],
    "4.2": [lambda features, weight: F.conv2d(features, weight[:, :, None, None])],
    "4.3": [lambda block, window: block(window[None])[0].flatten(1)[:, window[0].numel() // 2]],
    "6.1": [22.0],
    "6.2": [F.group_norm],
    "6.3": [nn.utils.fuse_conv_bn_eval],
    "7.3": [torchvision_bottleneck],
}


def dropout_by_row(X, p):
    return X * (torch.rand(len(X), 1) >= p) / (1 - p)


def dropout_once(X, p):
    torch.manual_seed(1)
    return alexnet.dropout(X, p)


def groups_by_output_only(X, weight, groups):
    return torch.cat([F.conv2d(X[:, : weight.shape[1]], w) for w in weight.chunk(groups)], dim=1)


def groups_summed(X, weight, groups):
    parts = zip(X.chunk(groups, 1), weight.chunk(groups), strict=True)
    return sum(F.conv2d(part, w) for part, w in parts)


def fields_without_strides(layers):
    return 1 + sum(kernel_size - 1 for kernel_size, _ in layers)


def fields_with_own_stride(layers):
    size, step = 1, 1
    for kernel_size, stride in layers:
        step *= stride
        size += (kernel_size - 1) * step
    return size


def all_measured_at_once(net, X):
    for name, size in d2l.layer_signals(net, X).items():
        net.get_submodule(name).weight.data /= size
    return net


def unit_variance(net, X):
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data /= layer(X).std()
        X = layer(X)
    return net


def sent_on_too_early(net, X):
    for layer in net:
        Y = layer(X)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data /= Y.square().mean().sqrt()
        X = Y
    return net


def scaled_by_channel(net, X):
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            Y = layer(X).transpose(0, 1).flatten(1)
            size = Y.square().mean(1).sqrt()
            layer.weight.data /= size.view(-1, *[1] * (layer.weight.ndim - 1))
        X = layer(X)
    return net


def reshaped_maps(features, weight):
    N, C, H, W = features.shape
    return (features.reshape(N, H, W, C) @ weight.T).movedim(-1, 1)


def flat_maps(features, weight):
    """The right means, but the same number in all cells."""
    scores = features.mean(dim=(2, 3)) @ weight.T
    return scores[:, :, None, None].expand(-1, -1, *features.shape[2:])


def block_without(kind):
    def answer(block, window):
        values = window.flatten()
        for layer in block:
            if isinstance(layer, nn.Conv2d):
                bias = 0 if kind == "bias" else layer.bias
                values = layer.weight.flatten(1) @ values + bias
            elif kind != "ReLU":
                values = layer(values)
        return values

    return answer


def merge_backwards(*convs):
    return googlenet.merge(*reversed(convs))


def merge_without_biases(*convs):
    merged = googlenet.merge(*convs)
    nn.init.zeros_(merged.bias)
    return merged


class Beside(nn.Module):
    def __init__(self, *convs):
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, X):
        return torch.cat([conv(X) for conv in self.convs], dim=1)


def group_statistics(X, groups, correction=0):
    parts = X.unflatten(1, (groups, -1))
    mean = parts.mean((2, 3, 4), keepdim=True)
    return parts, mean, parts.var((2, 3, 4), keepdim=True, correction=correction)


def group_scaled(Z, gamma, beta):
    return gamma.view(1, -1, 1, 1) * Z.flatten(1, 2) + beta.view(1, -1, 1, 1)


def unbiased(X, groups, gamma, beta, epsilon):
    parts, mean, variance = group_statistics(X, groups, correction=1)
    return group_scaled((parts - mean) / (variance + epsilon).sqrt(), gamma, beta)


def epsilon_outside(X, groups, gamma, beta, epsilon):
    parts, mean, variance = group_statistics(X, groups)
    return group_scaled((parts - mean) / (variance.sqrt() + epsilon), gamma, beta)


def constant_statistics(X, groups, gamma, beta, epsilon):
    _, mean, variance = group_statistics(X.detach(), groups)
    parts = X.unflatten(1, (groups, -1))
    return group_scaled((parts - mean) / (variance + epsilon).sqrt(), gamma, beta)


def over_the_batch(X, groups, gamma, beta, epsilon):
    return F.batch_norm(X, None, None, gamma, beta, training=True, eps=epsilon)


def strided_groups(X, groups, gamma, beta, epsilon):
    """Channels 0, groups, 2 * groups … together instead of neighbours."""
    order = torch.arange(X.shape[1]).view(-1, groups).T.flatten()
    Z = F.group_norm(X[:, order], groups, None, None, epsilon)[:, order.argsort()]
    return gamma.view(1, -1, 1, 1) * Z + beta.view(1, -1, 1, 1)


def fold_in_place(conv, bn):
    folded = batch_norm.fold(conv, bn)
    conv.weight.data = folded.weight.data
    return folded


def fold_without_mean(conv, bn):
    folded = batch_norm.fold(conv, bn)
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    folded.bias.data += bn.running_mean * scale
    return folded


def fold_without_bias(conv, bn):
    plain = copy.deepcopy(conv)
    plain.bias = None
    return batch_norm.fold(plain, bn)


def evaluate_in_training_mode(net, batches):
    with torch.no_grad():
        right = [(net(X).argmax(1) == y).float() for X, y in batches]
    return torch.cat(right).mean().item()


def evaluate_by_batches(net, batches):
    mode = net.training
    net.eval()
    found = [(net(X).argmax(1) == y).float().mean().item() for X, y in batches]
    net.train(mode)
    return sum(found) / len(found)


def evaluate_and_stay(net, batches):
    net.eval()
    return torch.cat([(net(X).argmax(1) == y).float() for X, y in batches]).mean().item()


def evaluate_and_wake_all(net, batches):
    mode = net.training
    accuracy = evaluate_and_stay(net, batches)
    net.train(mode)
    return accuracy


class NoShortcut(resnet.Bottleneck):
    def forward(self, X):
        return self.f(X).relu()


class ReluBeforeSum(resnet.Bottleneck):
    def forward(self, X):
        return self.f(X).relu() + self.shortcut(X)


def changed(change):
    """The right block with its function f changed."""

    class Changed(resnet.Bottleneck):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.f = nn.Sequential(*change(list(self.f)))

    return Changed


WRONG = {
    "1.1": [400, 144, "256", None, True, (1, 256)],
    "1.2": [0, 4, 5, "1"],
    "1.3": [
        lambda X, K: other_corr2d(X, K.flip(0, 1)),
        lambda X, K: other_corr2d(X, K).detach(),
        lambda X, K: F.conv2d(X[None, None], K[None, None], padding=1).squeeze(),
    ],
    "2.1": [307_456, 614_400],
    "2.2": [
        lambda X, p: X * (torch.rand(X.shape) >= p),
        lambda X, p: X * (torch.rand(X.shape) < p) / (1 - p),
        dropout_by_row,
        dropout_once,
        lambda X, p: X,
    ],
    "2.3": [groups_by_output_only, groups_summed],
    "3.1": [25_088, 50_176],
    "3.2": [fields_without_strides, fields_with_own_stride],
    "3.3": [
        lambda net, X: net,
        lambda net, X: None,
        all_measured_at_once,
        unit_variance,
        sent_on_too_early,
        scaled_by_channel,
    ],
    "4.1": [10_240, 10_320, 5_944_320, 11_796_480],
    "4.2": [
        reshaped_maps,
        flat_maps,
        lambda features, weight: features.movedim(1, -1) @ weight.T,
        lambda features, weight: features.mean(dim=(2, 3)) @ weight.T,
    ],
    "4.3": [
        block_without("bias"),
        block_without("ReLU"),
        lambda block, window: block(window[None])[0],
        lambda block, window: block(window[None])[0, :, 0, 0],
    ],
    "5.1": [12_832, 6_912, 13_888],
    "5.2": [
        lambda inputs, reduced, outputs, k: outputs / reduced,
        lambda inputs, reduced, outputs, k: (
            inputs * outputs / (inputs * reduced + reduced * outputs)
        ),
    ],
    "5.3": [merge_backwards, merge_without_biases, Beside, lambda *convs: convs[0]],
    "6.1": [9, 10, 21],
    "6.2": [unbiased, epsilon_outside, constant_statistics, over_the_batch, strided_groups],
    "6.3": [fold_in_place, fold_without_mean, fold_without_bias],
    "7.1": [2_752, 10_240, 10_816],
    "7.2": [
        evaluate_in_training_mode,
        evaluate_by_batches,
        evaluate_and_stay,
        evaluate_and_wake_all,
        lambda net, batches: None,
        lambda net, batches: 100 * resnet.evaluate(net, batches),
    ],
    "7.3": [
        NoShortcut,
        ReluBeforeSum,
        changed(lambda f: [*f[:3], *f[6:]]),  # no 3×3 convolution
        changed(lambda f: [f[0], f[2], f[3], f[4], f[5], f[6], f[7]]),  # a normalisation less
        changed(lambda f: [f[0], f[1], *f[3:]]),  # a ReLU less
    ],
}


@pytest.mark.parametrize("number", exercises.EXERCISES)
def test_solution_is_right(number):
    assert exercises.judge(number, solved(number)) == (True, ("", ""))
    for other in RIGHT.get(number, []):
        assert exercises.judge(number, other)[0] is True, other


@pytest.mark.parametrize("number", exercises.EXERCISES)
def test_solution_runs_where_a_reader_pastes_it(number):
    exercise = exercises.EXERCISES[number]
    namespace = {"torch": torch, "nn": nn, "d2l": d2l}
    if isinstance(exercise.solution, str):
        answer = eval(exercise.code, namespace)
    else:
        exec(exercise.code, namespace)
        answer = namespace[exercise.solution.__name__]
    assert exercises.judge(number, answer)[0] is True


def solved(number):
    """The solution as ``check`` takes it."""
    solution = exercises.EXERCISES[number].solution
    return eval(solution) if isinstance(solution, str) else solution


@pytest.mark.parametrize(("number", "answer"), [(n, a) for n in WRONG for a in WRONG[n]])
def test_wrong_answer_is_told_what_was_expected(number, answer, capsys):
    right, text = exercises.judge(number, answer)
    assert right is False
    assert re.search(HAN, text.zh) and text.en and not re.search(HAN, text.en)
    assert "failed" not in text.en  # judged by what it gives, not by an error on the way
    d2l.check(number, answer)
    zh, en = capsys.readouterr().out.splitlines()
    hint = exercises.EXERCISES[number].hint
    assert zh == f"✗ 练习 {number} 还不对。{text.zh}提示：{hint.zh}"
    assert en == f"✗ Exercise {number} is not right yet. {text.en} Hint: {hint.en}"


def test_every_exercise_meets_wrong_answers():
    assert WRONG.keys() == exercises.EXERCISES.keys()
    assert all(len(answers) >= 2 for answers in WRONG.values())


class Blank(nn.Module):
    def __init__(self, *arguments):
        super().__init__()

    def forward(self, X):
        return ...


def blanks(exercise):
    """What the notebook's cell passes before it is answered, and a stub of the right kind."""
    if isinstance(exercise.solution, str):
        return [...]
    return [..., Blank if isinstance(exercise.solution, type) else lambda *arguments: ...]


@pytest.mark.parametrize("number", exercises.EXERCISES)
def test_a_blank_is_no_answer(number, capsys):
    for blank in blanks(exercises.EXERCISES[number]):
        d2l.check(number, blank)
        assert f"Exercise {number} has no answer yet." in capsys.readouterr().out


def test_an_error_in_an_answer_is_told_not_raised(capsys):
    d2l.check("1.3", lambda X: X)
    zh, en = capsys.readouterr().out.splitlines()
    assert "Your code failed: `TypeError: " in en and "takes 1 positional argument" in en
    assert "运行你的代码时出错：`TypeError" in zh


@pytest.mark.parametrize("number", ["1.3", "2.2", "4.3"])
def test_random_numbers_stay_as_they_were(number):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    d2l.check(number, solved(number))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("number", exercises.EXERCISES)
def test_another_default_device_is_no_matter(number):
    answer = solved(number)
    torch.set_default_device("meta")
    try:
        assert exercises.judge(number, answer)[0] is True
    finally:
        torch.set_default_device(None)


def test_hint_and_solution_on_request(capsys):
    d2l.hint("1.3")
    assert "逐个相乘再求和" in capsys.readouterr().out
    d2l.solution("1.3")
    shown = capsys.readouterr().out
    assert "def corr2d(X, K" in shown and "torch.stack" in shown
    d2l.solution("1.1")
    assert capsys.readouterr().out.startswith("16 * 4 * 4\n")


@pytest.mark.parametrize("act", [d2l.hint, d2l.solution, lambda number: d2l.check(number, 1)])
def test_unknown_number(act):
    with pytest.raises(ValueError, match=r"no exercise '9.9'; there are: 1.1, 1.2"):
        act("9.9")


# ------------------------------------------------------------------------------- in the notebooks


def exercise_cells(path):
    cells = files.read_notebook(path).cells
    return [
        (cells[i - 2], cells[i - 1], cell)
        for i, cell in enumerate(cells)
        if files.EXERCISE in cell.metadata.get("tags", [])
    ]


@pytest.mark.parametrize("path", files.notebooks(), ids=lambda path: path.stem)
def test_notebook_asks_every_exercise_of_its_chapter(path):
    """A question in both languages, then a cell with a blank that calls the check."""
    chapter = int(path.stem[:2])
    asked = [re.findall(r'd2l\.check\("(.+?)"', cell.source) for _, _, cell in exercise_cells(path)]
    assert asked == [[n] for n in exercises.EXERCISES if n.startswith(f"{chapter}.")]
    assert len(asked) >= 3
    for (number,), (zh, en, cell) in zip(asked, exercise_cells(path), strict=True):
        assert zh.source.startswith(f"### 练习 {number}") and en.source.startswith(
            f"### Exercise {number}"
        )
        assert "..." in cell.source and cell.outputs == []


@pytest.mark.parametrize("path", files.notebooks(), ids=lambda path: path.stem)
def test_notebook_takes_the_solutions_names(path, capsys):
    """The blank names what the solution names, with the same arguments, and runs unanswered."""
    for _, _, cell in exercise_cells(path):
        (number,) = re.findall(r'd2l\.check\("(.+?)"', cell.source)
        namespace = {"d2l": d2l, "nn": nn, "torch": torch}
        exec(cell.source, namespace)
        assert f"Exercise {number} has no answer yet." in capsys.readouterr().out
        solution = exercises.EXERCISES[number].solution
        if not isinstance(solution, str):
            head = re.search(r"^\s*def (?!forward).*$", exercises.EXERCISES[number].code, re.M)
            assert head.group() in cell.source


def assigned(source):
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


@pytest.mark.parametrize("path", files.notebooks(), ids=lambda path: path.stem)
def test_blanks_leave_the_lesson_alone(path):
    """A reader who runs all cells and then goes back finds every name as the lesson left it."""
    lesson = files.lesson_cells(files.read_notebook(path))
    taken = set().union(*(assigned(cell.source) for cell in lesson))
    blanks = {
        node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else node.targets[0].id
        for _, _, cell in exercise_cells(path)
        for node in ast.parse(cell.source).body[:-1]
    }
    assert blanks & taken == set()
