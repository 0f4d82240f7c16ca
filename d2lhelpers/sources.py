"""Where MNIST and CIFAR-10 come from: find them, verify them, download them.

They are looked for in this order:

1. on disk, as torchvision leaves it: ``MNIST/raw/*-ubyte`` (or ``.gz``), ``cifar-10-batches-py/``
   (or ``cifar-10-python.tar.gz``);
2. on disk, as Keras stores it: ``mnist.npz``, ``cifar10.npz``;
3. on the network;
4. failing all that, a synthetic stand-in, which is announced by a ``StandInWarning``.

Files are verified each time they are read. ``d2lhelpers.data`` cuts what is found into batches.
"""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from . import _paths, synthetic
from .downloads import DownloadError, complete, store
from .formats import CIFAR10, MNIST, DataSet, Flaw, joined
from .reading import Reading, read_files, read_npz
from .say import Text
from .synthetic import Arrays

DATA_SETS = {"MNIST": MNIST, "CIFAR-10": CIFAR10}
STAND_INS = {"MNIST": synthetic.make_mnist, "CIFAR-10": synthetic.make_cifar10}


class StandInWarning(UserWarning):
    """The real data set could not be had and synthetic images took its place."""


class DamagedDataWarning(UserWarning):
    """A data file on disk is truncated, altered, unreadable or another's, and was not used."""


class UnsavedDataWarning(UserWarning):
    """The real data set was downloaded and is used, but could not be kept on disk."""


@dataclass(frozen=True)
class Found:
    """What looking for a data set came to; see ``fetch``.

    Attributes:
        name: "MNIST" or "CIFAR-10".
        is_real: False if only the stand-in is left.
        source: the words that ``ImageData.source`` will hold.
        where: the folder or file with the data; None if they are not on disk.
        cause: why there is no real data, in a clause; None if there is.
        reason: the same in full: every file and every mirror.
        advice: what to do to have real data, in a clause; None if there is.
    """

    name: str
    is_real: bool
    source: str
    where: Path | None = None
    cause: Text | None = None
    reason: Text | None = None
    advice: Text | None = None

    def __str__(self) -> str:
        if self.is_real and self.where is None:
            text = Text(
                zh=f"{self.source}：已下载，但没能保存，每次都要重新下载",
                en=f"{self.source}: downloaded but not kept, so downloaded anew each time",
            )
            return str(text)
        if self.is_real:
            return f"{self.source}: {self.where}"
        why = self.reason or Text(zh="没有找", en="nobody looked")
        text = Text(
            zh=f"{self.name}：没有真实数据，只有合成的替代图像。原因：{why.zh}。",
            en=f"{self.name}: no real data, only a synthetic stand-in. Why: {why.en}.",
        )
        return str(text)


def fetch(name: str, root: str | os.PathLike | None = None) -> Found:
    """Make a data set present on disk if that is possible, and say what ``source="auto"`` will use.

    Args:
        name: "MNIST" or "CIFAR-10".
        root: folder with the data; see ``data_root``.

    Returns:
        A ``Found``. Its ``is_real`` is False, with a ``reason``, if only the stand-in is left;
        there is no ``StandInWarning`` then.

    Raises:
        ValueError: there is no data set of this name.

    Warns:
        DamagedDataWarning: a file on disk was not used.
        UnsavedDataWarning: there is no place for what was downloaded.
    """
    if name not in DATA_SETS:
        known = ", ".join(DATA_SETS)
        raise ValueError(
            Text(
                zh=f"没有数据集 {name!r}；可以用 {known}。",
                en=f"there is no data set {name!r}; choose from {known}.",
            )
        )
    _, found, cautions = _find(DATA_SETS[name], data_root(root))
    for category, text in cautions.items():
        warnings.warn(f"\n{text}", category, stacklevel=2)
    return found


def data_root(root: str | os.PathLike | None = None) -> Path:
    """The folder that data sets are looked for in and downloaded to.

    It is ``root`` if given, else the environment variable ``D2L_DATA``, else ``data/`` in the
    checkout that holds this package (whatever the current directory), else, where the package was
    installed without its checkout, ``data/`` in the current directory.

    Example:
        >>> data_root("elsewhere").name
        'elsewhere'
    """
    return _paths.folder("data") if root is None else Path(root).expanduser()


def obtain(name: str, source: str, root: str | os.PathLike | None) -> tuple[Arrays, Found]:
    """The arrays of a data set, and where they come from.

    Arguments, errors and warnings are those of ``d2lhelpers.data.load_mnist``. The warnings point
    at the line that called it, two functions above this one.
    """
    if source not in ("auto", "real", "synthetic"):
        raise ValueError(
            Text(
                zh=f"source 应为 'auto'、'real' 或 'synthetic'，而不是 {source!r}。",
                en=f"source must be 'auto', 'real' or 'synthetic', not {source!r}.",
            )
        )
    data_set = DATA_SETS[name]
    found = _stand_in(data_set)
    if source != "synthetic":
        root = data_root(root)
        arrays, found, cautions = _find(data_set, root)
        for category, text in cautions.items():
            warnings.warn(f"\n{text}", category, stacklevel=4)
        if arrays is not None:
            return arrays, found
        if source == "real":
            raise FileNotFoundError(_refusal(data_set, root, found))
        if name not in _warned:
            _warned.add(name)
            text = _stand_in_message(data_set, root, found)
            warnings.warn(f"\n{text}", StandInWarning, stacklevel=4)
    sizes = {"train_size": data_set.train_size, "test_size": data_set.test_size}
    return STAND_INS[name](**sizes), found


# -------------------------------------------------------------------------------- finding

_warned: set[str] = set()  # names of the data sets whose stand-in was announced


def _find(
    data_set: DataSet, root: Path
) -> tuple[Arrays | None, Found, dict[type[UserWarning], Text]]:
    """Disk, then network.

    Returns:
        The arrays, None if the real data cannot be had; where they are, or why there are none; and
        what has to be warned of, {category: text}.
    """
    reading, cautions = read_files(data_set, root), {}
    kept, failure, unsaved, other = {}, None, None, None
    flaws = list(reading.flaws.values())
    if not reading.missing:
        # An archive stood in for a damaged file. A folder that cannot be written stays as it is.
        kept, _ = store(reading, root)
    else:
        try:
            other = read_npz(data_set, root)
        except Flaw as flaw:
            flaws.append(flaw)
        # A download also takes the place of a damaged file; without it, another copy will do.
        if other is None or any(not flaw.is_missing for flaw in flaws):
            try:
                reading, kept, unsaved = complete(data_set, root)
            except DownloadError as error:
                failure = error
    damaged = [flaw for flaw in flaws if not flaw.is_missing]
    if damaged:
        cautions[DamagedDataWarning] = _damaged_message(damaged, kept)
    if unsaved is not None:
        cautions[UnsavedDataWarning] = _unsaved_message(data_set, root, unsaved)
    if reading.arrays is not None:
        place = _place(data_set, root) if unsaved is None else None
        return reading.arrays, Found(data_set.name, True, data_set.name, place), cautions
    if other is not None:
        arrays, source = other
        return arrays, Found(data_set.name, True, source, root / data_set.npz), cautions
    return None, _stand_in(data_set, *_why(reading, root, flaws, failure)), cautions


def _stand_in(data_set: DataSet, *why: Text) -> Found:
    """Without the real data; ``why`` is what ``_why`` returns, or nothing if nobody looked."""
    return Found(data_set.name, False, f"synthetic stand-in for {data_set.name}", None, *why)


def _place(data_set: DataSet, root: Path) -> Path:
    """The folder of torchvision's files, or the archive where there are none."""
    part, path = next(iter(data_set.files.items()))
    folder = (root / path).parent
    return folder if folder.exists() else root / data_set.archives[part]


# -------------------------------------------------------------------------------- words


def _why(
    reading: Reading, root: Path, flaws: list[Flaw], failure: DownloadError
) -> tuple[Text, Text, Text]:
    """Why there is no real data: in a clause, and in full; and what to do."""
    named = [flaw.text for flaw in flaws if not flaw.is_missing]
    if reading.parts:  # where all files are missing, none is worth a word
        missing = [flaw for part, flaw in reading.flaws.items() if flaw.is_missing]
        named += [flaw.text for flaw in missing]
    folder = Text(
        zh=f"{root} 里没有可用的 {_files(reading.data_set).zh}",
        en=f"no usable {_files(reading.data_set).en} in {root}",
    )
    brief, full = (
        Text(zh=f"下载失败（{why.zh}）", en=f"download failed ({why.en})")
        for why in (failure.cause, failure.text)
    )
    cause, reason = joined([*(named[:1] or [folder]), brief]), joined([folder, *named, full])
    return cause, reason, failure.advice


def _damaged_message(damaged: list[Flaw], kept: dict[Path, Path]) -> Text:
    zh, en = ["有数据文件不能用："], ["Data files that are not used:"]
    for flaw in damaged:
        zh.append(f"- {flaw.text.zh}")
        en.append(f"- {flaw.text.en}")
        if flaw.path in kept:
            zh[-1] += f"；已换上好的文件，原来的保留为 {kept[flaw.path].name}"
            en[-1] += f"; replaced by a good one, the old one is kept as {kept[flaw.path].name}"
        else:
            zh[-1] += "；没有改动，请删除或替换"
            en[-1] += "; left as it is: delete or replace it"
    return Text(zh="\n".join(zh), en="\n".join(en))


def _unsaved_message(data_set: DataSet, root: Path, unsaved: DownloadError) -> Text:
    name, cause, advice = data_set.name, unsaved.cause, unsaved.advice
    return Text(
        zh=f"{name} 已下载并核对无误，这次可以使用，但没能存到 {root}，下次还要下载。\n"
        f"原因：{cause.zh}。\n"
        f"解决办法：{advice.zh}，或让环境变量 D2L_DATA 指向另一个文件夹。",
        en=f"{name} was downloaded, verified and is used this time, but could not be kept "
        f"in {root}: next time it is downloaded again.\n"
        f"Why: {cause.en}.\n"
        f"What to do: {advice.en}, or set D2L_DATA to another folder.",
    )


def _stand_in_message(data_set: DataSet, root: Path, found: Found) -> Text:
    """Three lines in each language; the rest on request."""
    name, advice = data_set.name, _advice(data_set, root, found)
    return Text(
        zh=f"找不到 {name}，改用合成的替代图像：得到的准确率不是 {name} 上的准确率。\n"
        f"原因：{found.cause.zh}。细节：运行 python -m d2lhelpers data。\n"
        f"解决办法：{advice.zh}。",
        en=f"{name} was not found, so synthetic images stand in for it: "
        f"accuracies are not those of {name}.\n"
        f"Why: {found.cause.en}. Details: run python -m d2lhelpers data.\n"
        f"What to do: {advice.en}.",
    )


def _refusal(data_set: DataSet, root: Path, found: Found) -> Text:
    advice = _advice(data_set, root, found)
    return Text(
        zh=f"找不到 {data_set.name}：{found.reason.zh}。解决办法：{advice.zh}，"
        "或用 source='auto' 以合成的替代图像继续。",
        en=f"{data_set.name} was not found: {found.reason.en}. What to do: "
        f"{advice.en}, or use source='auto' to go on with a synthetic stand-in.",
    )


def _advice(data_set: DataSet, root: Path, found: Found) -> Text:
    files = _files(data_set)
    return Text(
        zh=f"{found.advice.zh}，或把 {files.zh} 放进 {root}，"
        "或让环境变量 D2L_DATA 指向数据所在的文件夹",
        en=f"{found.advice.en}, put {files.en} into {root}, "
        "or set D2L_DATA to the folder that has it",
    )


def _files(data_set: DataSet) -> Text:
    """What a user may put in place, any of them."""
    folder = next(iter(data_set.files.values())).rpartition("/")[0]
    names = [f"{folder}/", data_set.npz]
    archives = set(data_set.archives.values())
    if len(archives) == 1:
        names[1:1] = archives
    return Text(zh=" 或 ".join(names), en=" or ".join(names))
