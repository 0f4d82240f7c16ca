"""Where MNIST and CIFAR-10 come from: find them, verify them, download them.

They are looked for in this order:

1. on disk, as torchvision leaves it: ``MNIST/raw/*-ubyte`` (or ``.gz``), ``cifar-10-batches-py/``;
2. on disk, as Keras stores it: ``mnist.npz``, ``cifar10.npz``;
3. on the network, through torchvision;
4. failing all that, a synthetic stand-in, which is announced by a `StandInWarning`.

Files are verified each time they are read. `d2lhelpers.data` cuts what is found into batches.
"""

import contextlib
import gzip
import hashlib
import io
import os
import pickle
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import _paths, synthetic
from .say import say
from .synthetic import Arrays

# Seconds without a byte after which a server counts as gone.
TIMEOUT = 10
# Seconds to wait for another process that is downloading the same data.
LOCK_TIMEOUT = 3600

# SHA-256 of the pixels and labels themselves (uint8, without the headers of the IDX files), so
# that one list serves every way of storing them.
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
MNIST_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
# MD5 of the files, as torchvision.datasets.CIFAR10 lists them (train_list, test_list).
CIFAR10_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
# SHA-256 of x_test (uint8, NHWC) in a copy of CIFAR-10 whose pictures went through JPEG. They look
# the same but cost a network some accuracy, so results made with them have to say so.
CIFAR10_JPEG_SHA256 = "e74fc24194733799b0157340658b7d3bad63b484bdcbca11295532687c7fa3e0"

# fmt: off
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)
# fmt: on


class StandInWarning(UserWarning):
    """The real data set could not be had and synthetic images took its place."""


class DamagedDataWarning(UserWarning):
    """A data file on disk is truncated, altered or of the wrong shape, and was not used."""


@dataclass(frozen=True)
class Found:
    """What looking for a data set came to; see `fetch`.

    Attributes:
        name: "MNIST" or "CIFAR-10".
        is_real: False if only the stand-in is left.
        source: the words that `ImageData.source` will hold.
        where: the folder or file with the data; None for the stand-in.
        reason: why there is no real data; empty if there is.
    """

    name: str
    is_real: bool
    source: str
    where: Path | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.is_real:
            return f"{self.source}: {self.where}"
        return (
            f"{self.name}：没有真实数据，只有合成的替代图像。原因：{self.reason}。\n"
            f"{self.name}: no real data, only a synthetic stand-in. Why: {self.reason}."
        )


@dataclass(frozen=True)
class DataSet:
    """What there is to know about a data set; see `DATA_SETS`.

    Attributes:
        name: "MNIST" or "CIFAR-10".
        train_size, test_size: how many images it has.
        megabytes: of its download.
        folder: where torchvision keeps its files, below the data root.
        files: what a user may put in place, either of them.
        readers: they look for the files, in this order; the first reads torchvision's layout.
        torchvision_class: returns the class that downloads the files.
        stand_in: makes synthetic images instead.
    """

    name: str
    train_size: int
    test_size: int
    megabytes: int
    folder: str
    files: tuple[str, ...]
    readers: tuple[Callable, ...]
    torchvision_class: Callable[[], type]
    stand_in: Callable[..., Arrays]


def fetch(name: str, root: str | os.PathLike | None = None) -> Found:
    """Make a data set present on disk if that is possible, and say what ``source="auto"`` will use.

    Args:
        name: "MNIST" or "CIFAR-10".
        root: folder with the data; see `data_root`.

    Returns:
        A `Found`. Its `is_real` is False, with a `reason`, if only the stand-in is left; there is
        no `StandInWarning` then.

    Raises:
        ValueError: there is no data set of this name.
    """
    if name not in DATA_SETS:
        raise ValueError(f"there is no data set {name!r}; choose from {', '.join(DATA_SETS)}")
    _, found = _find(DATA_SETS[name], data_root(root), stacklevel=3)
    return found


def data_root(root: str | os.PathLike | None = None) -> Path:
    """The folder that data sets are looked for in and downloaded to.

    It is `root` if given, else the environment variable ``D2L_DATA``, else ``data/`` in the
    checkout that holds this package (whatever the current directory), else, where the package was
    installed without its checkout, ``data/`` in the current directory.

    Example:
        >>> data_root("elsewhere").name
        'elsewhere'
    """
    return _paths.folder("data") if root is None else Path(root).expanduser()


def obtain(name: str, source: str, root: str | os.PathLike | None) -> tuple[Arrays, Found]:
    """The arrays of a data set, and where they come from.

    Arguments, errors and warnings are those of `d2lhelpers.data.load_mnist`. The warnings point at
    the line that called it, two functions above this one.
    """
    if source not in ("auto", "real", "synthetic"):
        raise ValueError(f"source must be 'auto', 'real' or 'synthetic', not {source!r}")
    data_set = DATA_SETS[name]
    found = _stand_in(data_set)
    if source != "synthetic":
        root = data_root(root)
        arrays, found = _find(data_set, root, stacklevel=5)
        if arrays is not None:
            return arrays, found
        if source == "real":
            raise FileNotFoundError(
                f"{name} was not found: {found.reason}. Connect to the network and try again, "
                f"{_advice(data_set, root)}, or use source='auto' to go on with a synthetic "
                "stand-in."
            )
        if name not in _warned:
            _warned.add(name)
            text = _stand_in_message(data_set, root, found.reason)
            warnings.warn(text, StandInWarning, stacklevel=4)
    arrays = data_set.stand_in(train_size=data_set.train_size, test_size=data_set.test_size)
    return arrays, found


# -------------------------------------------------------------------------------- finding

_warned: set[str] = set()  # names of the data sets whose stand-in was announced


class _Damaged(Exception):
    """A file that is there but cannot be trusted; says why in both languages."""

    def __init__(self, path: Path, chinese: str, english: str):
        super().__init__(f"{path}: {english}")
        self.path, self.chinese, self.english = path, chinese, english


def _find(data_set: DataSet, root: Path, stacklevel: int) -> tuple[Arrays | None, Found]:
    """Disk, then network. Returns (None, why not) if the real data cannot be had.

    Args:
        data_set: what to look for.
        root: where.
        stacklevel: that of the user's line, counted from here, for `DamagedDataWarning`.
    """
    result, damaged = None, []
    for read in data_set.readers:
        try:
            result = read(data_set, root)
        except _Damaged as damage:
            warnings.warn(_damaged_message(damage), DamagedDataWarning, stacklevel=stacklevel)
            damaged.append(f"{damage}; ")
        if result is not None:
            break
    if result is not None and not damaged:
        return result
    # A fresh download also replaces a damaged file; without it, another copy on disk will do.
    downloaded, failure = _download(data_set, root)
    result = downloaded or result
    if result is not None:
        return result
    files = " or ".join(data_set.files)
    reason = f"no usable {files} in {root}; {''.join(damaged)}download failed ({failure})"
    return None, _stand_in(data_set, reason)


def _stand_in(data_set: DataSet, reason: str = "") -> Found:
    return Found(data_set.name, False, f"synthetic stand-in for {data_set.name}", reason=reason)


def _damaged_message(damage: _Damaged) -> str:
    return (
        f"\n数据文件 {damage.path} 已损坏，不使用它：{damage.chinese}。"
        "将尝试重新下载；若下载失败，请删除或替换这个文件。"
        f"\nThe data file {damage.path} is damaged and is not used: {damage.english}. "
        "A fresh copy is downloaded if possible; otherwise delete or replace the file."
    )


def _stand_in_message(data_set: DataSet, root: Path, reason: str) -> str:
    return (
        f"\n找不到 {data_set.name}，改用程序合成的替代图像："
        f"得到的准确率不是 {data_set.name} 上的准确率。"
        f"\n原因：{reason}。"
        f"\n解决办法：联网后重新运行，或把 {' 或 '.join(data_set.files)} 放进 {root}，"
        "或让环境变量 D2L_DATA 指向数据所在的文件夹。"
        f"\n{data_set.name} was not found, so synthetic images stand in for it: "
        f"accuracies are not those of {data_set.name}."
        f"\nWhy: {reason}."
        f"\nWhat to do: connect to the network and run again, {_advice(data_set, root)}."
    )


def _advice(data_set: DataSet, root: Path) -> str:
    files = " or ".join(data_set.files)
    return f"put {files} into {root}, or set D2L_DATA to the folder that has it"


# -------------------------------------------------------------------------------- reading
#
# Every reader takes (data_set, folder), returns None if its files are not all there, raises
# _Damaged if one of them is not what it should be, and else returns (Arrays, Found).


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read and parsed means that the file is damaged."""
    try:
        yield
    except (_Damaged, MemoryError):
        raise
    except Exception as error:
        text = _one_line(error)
        raise _Damaged(path, f"读取失败（{text}）", f"it cannot be read ({text})") from error


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _check(
    path: Path, data_set: DataSet, key: str, array: np.ndarray, image_shape: tuple[int, ...]
) -> None:
    """Pixels ("x_...") and labels ("y_...") as MNIST and CIFAR-10 must have them."""
    is_pixels = key.startswith("x")
    size = data_set.train_size if key.endswith("train") else data_set.test_size
    shape = (size, *image_shape) if is_pixels else (size,)
    if array.shape != shape:
        raise _Damaged(
            path,
            f"{key} 的形状是 {array.shape}，应为 {shape}",
            f"{key} has the shape {array.shape} instead of {shape}",
        )
    if array.dtype != np.uint8 and (is_pixels or array.dtype.kind not in "iu"):
        raise _Damaged(
            path,
            f"{key} 的类型是 {array.dtype}，应为 uint8",
            f"{key} has the type {array.dtype} instead of uint8",
        )
    if not is_pixels and (array.min() < 0 or array.max() > 9):
        raise _Damaged(
            path,
            f"{key} 中有 0 到 9 以外的标签",
            f"{key} holds labels outside 0 to 9",
        )


def _altered(path: Path) -> _Damaged:
    return _Damaged(
        path,
        "内容与公布的校验和不符",
        "its contents do not have the published checksum",
    )


def _check_mnist(path: Path, data_set: DataSet, key: str, array: np.ndarray) -> None:
    _check(path, data_set, key, array, (28, 28))
    array = np.ascontiguousarray(array, dtype=np.uint8)
    if hashlib.sha256(array).hexdigest() != MNIST_SHA256[key]:
        raise _altered(path)


def _arrays(parts: dict[str, np.ndarray], classes: tuple[str, ...]) -> Arrays:
    return Arrays(
        parts["x_train"],
        parts["y_train"].astype(np.int64),
        parts["x_test"],
        parts["y_test"].astype(np.int64),
        classes,
    )


def _read_idx(path: Path) -> np.ndarray:
    """An IDX file of bytes: magic number 0x08 and dimensions, sizes, data; big-endian.

    Format: https://yann.lecun.com/exdb/mnist
    """
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            content = np.frombuffer(bytearray(file.read()), np.uint8)
    else:
        content = np.fromfile(path, np.uint8)
    if content[:3].tolist() != [0, 0, 8]:
        raise ValueError("it does not begin like an IDX file of bytes")
    header = 4 + 4 * int(content[3])
    shape = content[4:header].view(">u4").tolist()
    return content[header:].reshape(shape)


def _read_mnist_raw(data_set: DataSet, folder: Path) -> tuple[Arrays, Found] | None:
    raw = folder / "MNIST" / "raw"
    parts = {}
    for key, name in MNIST_FILES.items():
        path = raw / name if (raw / name).is_file() else raw / f"{name}.gz"
        if not path.is_file():
            return None
        with _reading(path):
            parts[key] = _read_idx(path)
            _check_mnist(path, data_set, key, parts[key])
    return _mnist(parts, raw)


def _read_mnist_npz(data_set: DataSet, folder: Path) -> tuple[Arrays, Found] | None:
    path = folder / "mnist.npz"
    if not path.is_file():
        return None
    with _reading(path):
        parts = _read_npz(path)
        for key in parts:
            _check_mnist(path, data_set, key, parts[key])
    return _mnist(parts, path)


def _mnist(parts: dict[str, np.ndarray], where: Path) -> tuple[Arrays, Found]:
    for key in ("x_train", "x_test"):
        parts[key] = parts[key][:, None]
    return _arrays(parts, synthetic.DIGITS), Found("MNIST", True, "MNIST", where)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The four arrays of an archive in Keras' layout, labels flattened; zip's checksums apply."""
    with path.open("rb") as file, np.load(file) as archive:
        parts = {key: archive[key] for key in MNIST_FILES}
    for key in ("y_train", "y_test"):
        if parts[key].shape == (len(parts[key]), 1):
            parts[key] = parts[key][:, 0]
    return parts


def _read_cifar10_batches(data_set: DataSet, folder: Path) -> tuple[Arrays, Found] | None:
    batches = folder / "cifar-10-batches-py"
    paths = [batches / name for name in CIFAR10_MD5]
    if not all(path.is_file() for path in paths):
        return None
    images, labels = [], []
    for path in paths:
        with _reading(path):
            content = path.read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != CIFAR10_MD5[path.name]:
                raise _altered(path)
            # Unpickling can run any code, so it comes after the check. NumPy warns about the way
            # in which Python 2 wrote these files.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                batch = pickle.loads(content, encoding="latin1")
            images.append(batch["data"].reshape(-1, 3, 32, 32))
            labels.append(np.array(batch["labels"]))
    parts = {
        "x_train": np.concatenate(images[:-1]),
        "y_train": np.concatenate(labels[:-1]),
        "x_test": images[-1],
        "y_test": labels[-1],
    }
    return _arrays(parts, CIFAR10_CLASSES), Found("CIFAR-10", True, "CIFAR-10", batches)


def _read_cifar10_npz(data_set: DataSet, folder: Path) -> tuple[Arrays, Found] | None:
    path = folder / "cifar10.npz"
    if not path.is_file():
        return None
    with _reading(path):
        parts = _read_npz(path)
        for key, part in parts.items():
            _check(path, data_set, key, part, (32, 32, 3))
    checksum = hashlib.sha256(np.ascontiguousarray(parts["x_test"])).hexdigest()
    source = "JPEG copy" if checksum == CIFAR10_JPEG_SHA256 else path.name
    for key in ("x_train", "x_test"):
        parts[key] = parts[key].transpose(0, 3, 1, 2)
    return _arrays(parts, CIFAR10_CLASSES), Found("CIFAR-10", True, f"CIFAR-10 ({source})", path)


# ------------------------------------------------------------------------------ downloading


def _download(data_set: DataSet, root: Path) -> tuple[tuple[Arrays, Found] | None, str]:
    """Fetch through torchvision. Returns (what the reader read, "") or (None, why it failed)."""
    from filelock import FileLock

    read = data_set.readers[0]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{data_set.name}.lock", timeout=LOCK_TIMEOUT):
            # Another process may have downloaded it while this one waited.
            with contextlib.suppress(_Damaged):
                if (result := read(data_set, root)) is not None:
                    return result, ""
            # A killed process leaves its folder behind; whoever holds the lock owns all of them.
            prefix = f".{data_set.name}-download-"
            for leftover in root.glob(f"{prefix}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(
                prefix=prefix, dir=root, ignore_cleanup_errors=True
            ) as staging:
                _fetch_and_move(data_set, Path(staging), root)
            return read(data_set, root), ""
    except Exception as error:
        return None, _one_line(error)


def _fetch_and_move(data_set: DataSet, staging: Path, root: Path) -> None:
    """Download into `staging`, verify there, and only then give the files their final names."""
    with _quietly():
        make = data_set.torchvision_class()
    say(
        zh=f"正在下载 {data_set.name}（约 {data_set.megabytes} MB）到 {root}……",
        en=f"Downloading {data_set.name} (about {data_set.megabytes} MB) to {root} …",
    )
    with _quietly(), _socket_timeout(TIMEOUT):
        make(staging, train=False, download=True)
    if data_set.readers[0](data_set, staging) is None:
        raise FileNotFoundError("the download lacks some of its files")
    source, target = staging / data_set.folder, root / data_set.folder
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        # torchvision leaves MNIST's archives beside their contents; they are not needed again.
        if file.suffix != ".gz":
            os.replace(file, target / file.name)


def _torchvision_mnist() -> type:
    from torchvision import datasets

    # A mirror that swallows connections would cost minutes, so torchvision gets the live ones.
    first = datasets.MNIST.resources[0][0]
    answering = _answering([mirror + first for mirror in datasets.MNIST.mirrors])
    live = [url.removesuffix(first) for url in answering]

    class MNIST(datasets.MNIST):  # torchvision names the folder after the class
        mirrors = live

    return MNIST


def _torchvision_cifar10() -> type:
    from torchvision.datasets import CIFAR10

    _answering([CIFAR10.url])
    return CIFAR10


def _answering(urls: list[str]) -> list[str]:
    """Those addresses that answer at all, if only with an error, within `TIMEOUT` seconds.

    A socket's own timeout holds for each of the server's addresses in turn, of which there may be
    eight.

    Raises:
        ConnectionError: none of them does.
    """
    outcome = dict.fromkeys(urls, f"no answer within {TIMEOUT} s")

    def ask(url: str) -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=TIMEOUT).close()
            outcome[url] = ""
        except urllib.error.HTTPError:
            outcome[url] = ""
        except Exception as error:
            outcome[url] = _one_line(error)

    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    failures = dict(outcome)  # a late thread may still write
    if all(failures.values()):
        raise ConnectionError("; ".join(f"{url}: {why}" for url, why in failures.items()))
    return [url for url, why in failures.items() if not why]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep torchvision's progress bars and warnings out of notebooks; a terminal may show them."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if not sys.stderr.isatty():
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# ----------------------------------------------------------------------------- the data sets

DATA_SETS = {
    "MNIST": DataSet(
        name="MNIST",
        train_size=60_000,
        test_size=10_000,
        megabytes=11,
        folder="MNIST/raw",
        files=("MNIST/raw/*-ubyte", "mnist.npz"),
        readers=(_read_mnist_raw, _read_mnist_npz),
        torchvision_class=_torchvision_mnist,
        stand_in=synthetic.make_mnist,
    ),
    "CIFAR-10": DataSet(
        name="CIFAR-10",
        train_size=50_000,
        test_size=10_000,
        megabytes=170,
        folder="cifar-10-batches-py",
        files=("cifar-10-batches-py/", "cifar10.npz"),
        readers=(_read_cifar10_batches, _read_cifar10_npz),
        torchvision_class=_torchvision_cifar10,
        stand_in=synthetic.make_cifar10,
    ),
}
