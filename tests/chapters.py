"""The notebooks' networks, for the tests that hold them against their sources."""

from torch import nn

from d2lhelpers.course import notebooks as files


def load_models(stem):
    """What the cells tagged ``model`` of the notebook of this name define, by name."""
    (path,) = [path for path in files.notebooks() if path.stem == stem]
    return files.load_models(path)


def take_weights(net, tensors):
    """Give ``net`` these parameters and buffers in its own order, whatever they were called."""
    net.load_state_dict(dict(zip(net.state_dict(), tensors, strict=True)), assign=True)


def move_normalisation(net, variance):
    """Take all that batch normalisation stores off its defaults, or a swap would go unseen.

    The running variances lie in the range ``variance``; near what the layers before give, the
    signal neither fades nor explodes.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, *variance)
