"""A learner's own net is run as plain PyTorch runs it, and is afterwards as it came."""

import collections
import copy
import types
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from toys import has_weights, numbers, toy_data, toy_net, weights

import d2lhelpers as d2l

pytestmark = pytest.mark.usefixtures("runs_folder")


class Viewing(nn.Module):
    """Takes the usual order of memory for granted, always or only while it learns."""

    def __init__(self, always=True):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
        self.dense = nn.Linear(4 * 4 * 4, 3)
        self.always = always

    def forward(self, X):
        X = self.conv(X)
        rows = X.view(X.size(0), -1) if self.always or self.training else X.flatten(1)
        return self.dense(rows)


class Flattening(Viewing):
    def forward(self, X):
        return self.dense(self.conv(X).flatten(1))


class Rows(torch.autograd.Function):
    """Whose backward takes the usual order of memory for granted."""

    @staticmethod
    def forward(ctx, X):
        return X.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.view(len(gradient), -1).view(gradient.shape)


class LearningRows(Viewing):
    def forward(self, X):
        return self.dense(self.conv[1](Rows.apply(self.conv[0](X))).flatten(1))


class Ordering(Viewing):
    """Then only the weights can bring in another order."""

    def forward(self, X):
        return super().forward(X.clone(memory_format=torch.contiguous_format))


class Strided(Viewing):
    """Reads other numbers in another order of memory, without an error."""

    def forward(self, X):
        X = self.conv(X)
        return self.dense(torch.as_strided(X, (len(X), 64), (64, 1)))


class Averaging(Flattening):
    """Changes with each image that it sees, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    def forward(self, X):
        self.mean.mul_(0.9).add_(0.1 * X.detach().mean())
        return super().forward(X - self.mean)


class Hooked(Flattening):
    """Whose hook takes the usual order of memory for granted."""

    def __init__(self):
        super().__init__()
        self.conv.register_forward_hook(look_at_rows)


def look_at_rows(layer, inputs, output):
    output.view(len(output), -1)


class Watching(nn.Identity):
    """Notes whether the images that it learns from have their channels last."""

    def __init__(self):
        super().__init__()
        self.orders = []

    def forward(self, X):
        if torch.is_grad_enabled():
            self.orders.append(X.is_contiguous(memory_format=torch.channels_last))
        return X


def by_hand(net, data, epochs, lr):
    """Losses of plain PyTorch, without shuffling."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(epochs):
        for X, y in data.train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(X), y).backward()
            optimizer.step()
    return net


def unshuffled():
    data = toy_data()
    data.train = data.test
    return data


@pytest.mark.parametrize(
    "make",
    [Viewing, lambda: Viewing(always=False), LearningRows, Ordering, Flattening, Strided, Hooked],
)
def test_any_order_of_memory_trains_as_by_hand(make):
    torch.manual_seed(0)
    net = make()
    expected = by_hand(copy.deepcopy(net), unshuffled(), epochs=2, lr=0.1)
    strides = [weight.stride() for weight in net.parameters()]
    addresses = [weight.data_ptr() for weight in net.parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = d2l.train(net, unshuffled(), epochs=2, lr=0.1, device="cpu")
    for weight, right in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(weight, right)
    assert [weight.stride() for weight in net.parameters()] == strides
    assert [weight.data_ptr() for weight in net.parameters()] == addresses
    X, y = toy_data().test.dataset.tensors
    scores, _ = d2l.predict(net, toy_data().test)
    torch.testing.assert_close(scores, net.eval()(X).detach())
    loss = nn.functional.cross_entropy(scores, y).item()
    assert d2l.evaluate(net, toy_data().test).loss == pytest.approx(loss)
    assert history.test_loss[-1] == pytest.approx(loss)


def test_channels_last_is_used_where_it_can_be_and_kept_where_it_was_chosen():
    for make, is_fast in ((Flattening, True), (Viewing, False)):
        net, watching = make(), Watching()
        net.conv.insert(1, watching)
        d2l.train(net, toy_data(), epochs=1, lr=0.1, device="cpu")
        assert set(watching.orders) == {is_fast}
    net = Flattening().to(memory_format=torch.channels_last)
    strides = [weight.stride() for weight in net.parameters()]
    d2l.train(net, toy_data(), epochs=1, lr=0.1)
    assert [weight.stride() for weight in net.parameters()] == strides


def compiled_in_place(net):
    net.compile(backend="eager")
    return net


@pytest.mark.parametrize("compile", [partial(torch.compile, backend="eager"), compiled_in_place])
def test_a_compiled_net_is_trained(compile):
    torch.manual_seed(0)
    net = Flattening()
    plain = copy.deepcopy(net)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="(?s).*without")
        compiled = compile(net)
        history = d2l.train(compiled, toy_data(), epochs=2, lr=0.1)
    expected = d2l.train(plain, toy_data(), epochs=2, lr=0.1)
    assert numbers(history) == numbers(expected)
    assert history.multiply_adds == expected.multiply_adds
    scores, _ = d2l.predict(compiled, toy_data().test)
    torch.testing.assert_close(scores, d2l.predict(plain, toy_data().test)[0])


def test_trials_before_the_first_step_leave_no_trace():
    torch.manual_seed(0)
    net = Averaging()
    data = types.SimpleNamespace(train=list(toy_data().test), validation=None, test=None)
    data.validation = data.train
    mean = torch.ones(())
    for X, _ in [*data.train, *data.validation]:
        mean = 0.9 * mean + 0.1 * X.mean()
    d2l.train(net, data, epochs=1, lr=0.1, device="cpu")
    torch.testing.assert_close(net.mean, mean)


def test_lazy_layers_draw_their_weights_as_others_do():
    def run(layer):
        net = nn.Sequential(nn.Flatten(), layer)
        return d2l.train(net, toy_data(), epochs=1, lr=0.1).train_loss

    assert run(nn.LazyLinear(3)) != run(nn.LazyLinear(3))
    torch.manual_seed(3)
    lazy = run(nn.LazyLinear(3))
    torch.manual_seed(3)
    assert lazy == run(nn.Linear(16, 3))


def test_lazy_layers_get_their_weights():
    net = nn.Sequential(nn.LazyConv2d(2, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(3))
    history = d2l.train(net, toy_data(), epochs=2, lr=0.1)
    assert history.parameters == 2 * 9 + 2 + 4 + 3 * 9
    assert history.train_loss[1] < history.train_loss[0]


# ------------------------------------------------------------------------------ several outputs

Outputs = collections.namedtuple("Outputs", ["aux_logits", "logits"])


class Several(nn.Module):
    """The scores and something else, put together by ``gather``; alone in evaluation mode."""

    def __init__(self, gather, always):
        super().__init__()
        self.main, self.aux, self.gather, self.always = toy_net(), toy_net(1), gather, always

    def forward(self, X):
        scores = self.main(X)
        return self.gather(scores, self.aux(X)) if self.training or self.always else scores


GATHER = {
    "named tuple": lambda scores, aux: Outputs(aux, scores),
    "tuple": lambda scores, aux: (scores, aux),
    "list": lambda scores, aux: [scores, aux],
    "dict": lambda scores, aux: {"aux": aux, "out": scores},
    "dict of logits": lambda scores, aux: collections.OrderedDict(aux=aux, logits=scores),
    "object": lambda scores, aux: types.SimpleNamespace(aux=aux, logits=scores),
}


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("kind", GATHER)
def test_of_several_outputs_the_scores_count(kind, always):
    net, alone = Several(GATHER[kind], always), toy_net()
    aux = weights(net.aux)
    with pytest.warns(UserWarning, match="main output"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*the graph")  # of a namespace
        history = d2l.train(net, toy_data(), epochs=2, lr=0.1)
    assert numbers(history) == numbers(d2l.train(alone, toy_data(), epochs=2, lr=0.1))
    assert has_weights(net.aux, aux)
    expected, _ = d2l.predict(alone, toy_data().test)
    assert torch.equal(d2l.predict(net, toy_data().test)[0], expected)


@pytest.mark.parametrize("output", [{}, (), None, {"a": torch.zeros(2, 3)}])
def test_an_output_without_scores_is_refused(output):
    net = Several(lambda scores, aux: output, always=True)
    with pytest.raises(TypeError, match="no class scores"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        d2l.train(net, toy_data(), epochs=1, lr=0.1)
    with pytest.raises(TypeError, match="no class scores"):
        d2l.predict(net, toy_data().test)


# --------------------------------------------------------------------------------- left as found


def test_frozen_layers_sleep_on():
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 3))
    net[0].eval().requires_grad_(False)
    seen = set()
    net[3].register_forward_hook(
        lambda *_: seen.add((torch.is_grad_enabled(), net[0].training, net[1].training))
    )
    d2l.train(net, toy_data(), epochs=2, lr=0.1)
    assert seen == {(True, False, True), (False, False, False)}
    assert net[0].num_batches_tracked == 0 and net[0].running_mean == 0
    assert [layer.training for layer in net] == [False, True, True, True] and net.training


def test_a_net_that_sleeps_as_a_whole_is_trained_and_sleeps_again():
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, 3)).eval()
    d2l.train(net, toy_data(), epochs=2, lr=0.1)
    assert net[0].num_batches_tracked == 2 * 3
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize("fault", [None, KeyboardInterrupt, RuntimeError])
def test_the_net_is_as_it_came_however_training_ends(fault):
    net = Flattening()
    net.conv[0].eval()
    strides = [weight.stride() for weight in net.parameters()]
    state = torch.get_rng_state()

    def stop(module, inputs):
        if fault is not None and torch.is_grad_enabled():
            raise fault

    net.register_forward_pre_hook(stop)
    try:
        d2l.train(net, toy_data(), epochs=1, lr=0.1)
    except BaseException as error:
        assert type(error) is fault
    assert [weight.stride() for weight in net.parameters()] == strides
    assert net.training and not net.conv[0].training and net.conv[1].training
    assert torch.equal(torch.get_rng_state(), state)


def test_training_leaves_the_random_state_to_the_caller(tmp_path):
    """Four repeats that are not seeded differ, and each seed decides all within."""
    data = toy_data(train=torch.utils.data.DataLoader(toy_data().test.dataset, 4, shuffle=True))
    torch.manual_seed(0)
    drawn, losses = [], []
    for repeat in range(4):
        net = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(16, 3))
        state = torch.get_rng_state()
        for checkpoint in (None, tmp_path / f"{repeat}.pt", tmp_path / f"{repeat}.pt"):
            d2l.train(copy.deepcopy(net), data, epochs=1, lr=0.1, checkpoint=checkpoint)
            assert torch.equal(torch.get_rng_state(), state)
        losses.append(d2l.train(net, data, epochs=1, lr=0.1).train_loss[0])
        drawn.append(torch.rand(()).item())
    assert len(set(drawn)) == len(set(losses)) == 4


def test_another_default_device_is_no_matter():
    batches = list(toy_data().test)
    data = types.SimpleNamespace(train=batches, test=batches)
    net = Flattening()
    expected = d2l.train(copy.deepcopy(net), data, epochs=2, lr=0.1, device="cpu")
    torch.set_default_device("meta")
    try:
        history = d2l.train(net, data, epochs=2, lr=0.1, device="cpu")
        measured = d2l.evaluate(net, batches)
    finally:
        torch.set_default_device(None)
    assert numbers(history) == numbers(expected)
    assert measured.loss == pytest.approx(history.test_loss[-1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_random_state_of_a_gpu_is_left_too():
    state = torch.cuda.get_rng_state()
    net = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(16, 3))
    first = d2l.train(copy.deepcopy(net), toy_data(), epochs=2, lr=0.1, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), state)
    second = d2l.train(net, toy_data(), epochs=2, lr=0.1, device="cuda")
    assert first.train_loss == pytest.approx(second.train_loss)
