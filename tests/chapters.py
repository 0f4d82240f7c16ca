"""The notebooks' networks, for the tests that hold them against their sources."""

from d2lhelpers import course


def load_models(stem):
    """What the cells tagged ``model`` of the notebook of this name define, by name."""
    (path,) = [path for path in course.notebooks() if path.stem == stem]
    return course.load_models(path)


def take_weights(net, tensors):
    """Give ``net`` these parameters and buffers in its own order, whatever they were called."""
    net.load_state_dict(dict(zip(net.state_dict(), tensors, strict=True)), assign=True)
