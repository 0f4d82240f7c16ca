"""MNIST and CIFAR-10 as published: their files, and what these must hold.

Every file is verified before anything is made of it.
"""

import contextlib
import gzip
import hashlib
import io
import math
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .say import Text
from .synthetic import DIGITS

# SHA-256 of the pixels and labels themselves (uint8, without the headers of the IDX files), so
# that one list serves every way of storing them.
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
MNIST_FILES = {
    "x_train": "MNIST/raw/train-images-idx3-ubyte",
    "y_train": "MNIST/raw/train-labels-idx1-ubyte",
    "x_test": "MNIST/raw/t10k-images-idx3-ubyte",
    "y_test": "MNIST/raw/t10k-labels-idx1-ubyte",
}
# MD5 of the files, as torchvision.datasets.CIFAR10 lists them (train_list, test_list, meta).
CIFAR10_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
# SHA-256 of x_test (uint8, NHWC) in a copy of CIFAR-10 whose pictures went through JPEG. They look
# the same but cost a network some accuracy, so results made with them have to say so.
CIFAR10_JPEG_SHA256 = "e74fc24194733799b0157340658b7d3bad63b484bdcbca11295532687c7fa3e0"

# fmt: off
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)
# fmt: on


@dataclass(frozen=True)
class DataSet:
    """What there is to know about the files of a data set.

    Attributes:
        name: "MNIST" or "CIFAR-10".
        train_size, test_size: how many images it has.
        image_shape: of one image in an ``.npz``, (28, 28) or (32, 32, 3).
        classes: the class names, in the order of the labels.
        megabytes: of its download.
        files: torchvision's files, {part: path below the data root}.
        archives: the path below the data root of the archive that holds a part, {part: path}.
        unread: parts that only torchvision needs.
        mirrors: addresses of folders that hold the archives, to be tried in this order.
        npz: name of Keras' file.
        parse: ``parse(data_set, part, content)`` verifies a part's file and returns its arrays.
        assemble: makes four arrays in Keras' layout, but images NCHW, of all parts.
    """

    name: str
    train_size: int
    test_size: int
    image_shape: tuple[int, ...]
    classes: tuple[str, ...]
    megabytes: int
    files: Mapping[str, str]
    archives: Mapping[str, str]
    unread: frozenset[str]
    mirrors: tuple[str, ...]
    npz: str
    parse: Callable
    assemble: Callable

    @property
    def unpacked_bytes(self) -> int:
        """Of all pixels and labels, and so about what the unpacked files have."""
        return (self.train_size + self.test_size) * (math.prod(self.image_shape) + 1)


class Flaw(Exception):
    """A file that is missing or not what it should be.

    Attributes:
        path: the file.
        why: what is wrong with it.
        is_missing: there is no such file.
    """

    def __init__(self, path: Path, why: Text, is_missing: bool = False):
        super().__init__(path, why)
        self.path, self.why, self.is_missing = path, why, is_missing

    @property
    def text(self) -> Text:
        return Text(zh=f"{self.path}：{self.why.zh}", en=f"{self.path}: {self.why.en}")


@contextlib.contextmanager
def checked(path: Path | str) -> Iterator[None]:
    """Whatever goes wrong while a file is read, parsed and verified is a ``Flaw`` of that file."""
    try:
        yield
    except (Flaw, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        why = Text(zh="没有这个文件", en="there is no such file")
        raise Flaw(path, why, is_missing=True) from error
    except Exception as error:
        why = error.args[0] if error.args else None
        if not isinstance(why, Text):
            line = one_line(error)
            why = Text(zh=f"读取失败（{line}）", en=f"it cannot be read ({line})")
        raise Flaw(path, why) from error


def one_line(error: Exception) -> str:
    """An error's name and message, for a sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def as_text(error: Exception, where: str = "") -> Text:
    line = one_line(error)
    return Text(zh=f"{where}：{line}", en=f"{where}: {line}") if where else Text(line, line)


def joined(texts: Iterable[Text]) -> Text:
    """Several texts as one, with semicolons."""
    texts = list(texts)
    return Text(zh="；".join(t.zh for t in texts), en="; ".join(t.en for t in texts))


# ------------------------------------------------------------------------------- verifying


def limited(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The pieces of what should have about ``size`` bytes in all.

    Raises:
        ValueError: there are more than twice as many.
    """
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > 2 * size:
            why = Text(
                zh=f"超过 {2 * size:,} 字节，应该约有 {size:,} 字节",
                en=f"it has more than {2 * size:,} bytes instead of about {size:,}",
            )
            raise ValueError(why)
        yield piece


def unpacked(data_set: DataSet, file: BinaryIO) -> io.BytesIO:
    """What a gzip file holds, of which not even a small one can fill the memory.

    Raises:
        ValueError: that is more than twice the size of the data set.
    """
    content = io.BytesIO()
    with gzip.open(file) as packed:
        pieces = iter(lambda: packed.read(2**20), b"")
        content.writelines(limited(pieces, data_set.unpacked_bytes))
    content.seek(0)
    return content


def check(data_set: DataSet, key: str, array: np.ndarray) -> None:
    """Pixels ("x_...") and labels ("y_...") as the data set must have them, here in Keras' layout.

    Raises:
        ValueError: shape, type, labels or, for MNIST, contents are others.
    """
    is_pixels = key.startswith("x")
    size = data_set.train_size if key.endswith("train") else data_set.test_size
    shape = (size, *data_set.image_shape) if is_pixels else (size,)
    if array.shape != shape:
        why = Text(
            zh=f"{key} 的形状是 {array.shape}，应为 {shape}",
            en=f"{key} has the shape {array.shape} instead of {shape}",
        )
    elif array.dtype != np.uint8 and (is_pixels or array.dtype.kind not in "iu"):
        why = Text(
            zh=f"{key} 的类型是 {array.dtype}，应为 uint8",
            en=f"{key} has the type {array.dtype} instead of uint8",
        )
    elif not is_pixels and (array.min() < 0 or array.max() > 9):
        why = Text(zh=f"{key} 中有 0 到 9 以外的标签", en=f"{key} holds labels outside 0 to 9")
    elif data_set.name == "MNIST" and _sha256(array) != MNIST_SHA256[key]:
        why = _ALTERED
    else:
        return
    raise ValueError(why)


def source_of_npz(data_set: DataSet, x_test: np.ndarray) -> str:
    """The words for where images come from. CIFAR-10 is not always the published one there."""
    if data_set.name == "MNIST":
        return "MNIST"
    is_jpeg = _sha256(x_test) == CIFAR10_JPEG_SHA256
    return f"{data_set.name} ({'JPEG copy' if is_jpeg else data_set.npz})"


def _sha256(array: np.ndarray) -> str:
    """Of the bytes; labels may be of any integer type."""
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.uint8)).hexdigest()


_NOT_IDX = Text(zh="开头不像字节型 IDX 文件", en="it does not begin like an IDX file of bytes")
_ALTERED = Text(zh="内容与公布的校验和不符", en="its contents do not have the published checksum")


def _parse_mnist(data_set: DataSet, part: str, content: bytes) -> np.ndarray:
    """An IDX file of bytes: magic number 0x08 and dimensions, sizes, data; big-endian.

    Format: https://yann.lecun.com/exdb/mnist
    """
    data = np.frombuffer(bytearray(content), np.uint8)  # bytes would give a read-only array
    if data[:3].tolist() != [0, 0, 8]:
        raise ValueError(_NOT_IDX)
    header = 4 + 4 * int(data[3])
    array = data[header:].reshape(data[4:header].view(">u4").tolist())
    check(data_set, part, array)
    return array


def _assemble_mnist(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: part[:, None] if part.ndim == 3 else part for key, part in parts.items()}


def _parse_cifar10(data_set: DataSet, part: str, content: bytes) -> tuple | None:
    """Images (N, 3, 32, 32) and labels (N,) of a batch; None for the class names."""
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != CIFAR10_MD5[part]:
        raise ValueError(_ALTERED)
    if part in data_set.unread:
        return None
    # Unpickling can run any code, so it comes after the check. NumPy warns about the way in which
    # Python 2 wrote these files.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = pickle.loads(content, encoding="latin1")
    return batch["data"].reshape(-1, 3, 32, 32), np.array(batch["labels"])


def _assemble_cifar10(parts: dict[str, tuple]) -> dict[str, np.ndarray]:
    batches = [parts[f"data_batch_{i}"] for i in range(1, 6)]
    images, labels = zip(*batches, strict=True)
    x_test, y_test = parts["test_batch"]
    return {
        "x_train": np.concatenate(images),
        "y_train": np.concatenate(labels),
        "x_test": x_test,
        "y_test": y_test,
    }


MNIST = DataSet(
    name="MNIST",
    train_size=60_000,
    test_size=10_000,
    image_shape=(28, 28),
    classes=DIGITS,
    megabytes=11,
    files=MNIST_FILES,
    archives={part: f"{path}.gz" for part, path in MNIST_FILES.items()},
    unread=frozenset(),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    npz="mnist.npz",
    parse=_parse_mnist,
    assemble=_assemble_mnist,
)
CIFAR10 = DataSet(
    name="CIFAR-10",
    train_size=50_000,
    test_size=10_000,
    image_shape=(32, 32, 3),
    classes=CIFAR10_CLASSES,
    megabytes=170,
    files={part: f"cifar-10-batches-py/{part}" for part in CIFAR10_MD5},
    archives=dict.fromkeys(CIFAR10_MD5, "cifar-10-python.tar.gz"),
    unread=frozenset({"batches.meta"}),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    npz="cifar10.npz",
    parse=_parse_cifar10,
    assemble=_assemble_cifar10,
)
