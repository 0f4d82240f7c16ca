"""Reading MNIST and CIFAR-10 from disk with their files in doubt.

torchvision keeps a data set as several files, which come out of one or several archives; Keras
keeps it as one ``.npz``. Nothing here writes.
"""

import tarfile
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .formats import DataSet, Flaw, check, checked, source_of_npz, unpacked
from .say import Text
from .synthetic import Arrays


@dataclass
class Reading:
    """What a look at torchvision's files came to.

    Attributes:
        data_set: what was looked for.
        parts: the parts that were found and verified, {part: its arrays}.
        flaws: {part or archive: what is wrong with its file}, also where another file replaces it.
        contents: what files should hold, {part: bytes}, verified; see ``unpack``.
    """

    data_set: DataSet
    parts: dict = field(default_factory=dict)
    flaws: dict[str, Flaw] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """The parts still to be found."""
        known = {*self.parts, *self.data_set.unread}
        return [part for part in self.data_set.files if part not in known]

    @property
    def missing_archives(self) -> list[str]:
        return list(dict.fromkeys(self.data_set.archives[part] for part in self.missing))

    @property
    def arrays(self) -> Arrays | None:
        """The whole data set, or None while parts are missing."""
        if self.missing:
            return None
        return _arrays(self.data_set.assemble(self.parts), self.data_set.classes)

    def unpack(self, archive: str, file: BinaryIO, path: Path | str, keep: Container[str]) -> None:
        """Take all parts out of an archive, verified.

        Args:
            archive: its path below the data root.
            file: what is read.
            path: its name in a message.
            keep: the parts whose contents are wanted as well, to be written to files.

        Raises:
            Flaw: it is no archive, or it holds something else; nothing is taken then.
        """
        parts, contents = {}, {}
        with checked(path):
            for part, content in _members(self.data_set, archive, file):
                parts[part] = self.data_set.parse(self.data_set, part, content)
                if part in keep:
                    contents[part] = content
        self.parts |= {part: value for part, value in parts.items() if value is not None}
        self.contents |= contents


def read_files(data_set: DataSet, root: Path) -> Reading:
    """Read torchvision's files, and the archives beside them where a file is of no use."""
    reading = Reading(data_set)
    for part in reading.missing:
        path = root / data_set.files[part]
        try:
            with checked(path):
                reading.parts[part] = data_set.parse(data_set, part, path.read_bytes())
        except Flaw as flaw:
            reading.flaws[part] = flaw
    damaged = {part for part, flaw in reading.flaws.items() if not flaw.is_missing}
    for archive in reading.missing_archives:
        path = root / archive
        try:
            with checked(path), path.open("rb") as file:
                reading.unpack(archive, file, path, keep=damaged)
        except Flaw as flaw:
            if not flaw.is_missing:
                reading.flaws[archive] = flaw
    return reading


def read_npz(data_set: DataSet, root: Path) -> tuple[Arrays, str]:
    """Read Keras' file; returns the arrays and the words for their source.

    Raises:
        Flaw: it is missing, or not what it should be; zip's own checksums apply.
    """
    path = root / data_set.npz
    with checked(path):
        with path.open("rb") as file, np.load(file) as archive:
            parts = {key: archive[key] for key in ("x_train", "y_train", "x_test", "y_test")}
        for key, array in parts.items():
            if key.startswith("y") and array.shape == (len(array), 1):
                parts[key] = array[:, 0]
            check(data_set, key, parts[key])
    source = source_of_npz(data_set, parts["x_test"])
    for key in ("x_train", "x_test"):
        images = parts[key]
        parts[key] = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return _arrays(parts, data_set.classes), source


def _members(data_set: DataSet, archive: str, file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """The parts that an archive must hold, and their contents."""
    parts = {path: part for part, path in data_set.files.items()}
    content = unpacked(data_set, file)
    if not archive.endswith(".tar.gz"):
        yield parts[archive.removesuffix(".gz")], content.getvalue()
        return
    with tarfile.open(fileobj=content, mode="r:") as tar:
        for member in tar:
            if member.isfile() and member.name in parts:
                yield parts.pop(member.name), tar.extractfile(member).read()
    if parts:
        names = ", ".join(parts)
        raise ValueError(Text(zh=f"里面没有 {names}", en=f"it does not hold {names}"))


def _arrays(parts: dict[str, np.ndarray], classes: tuple[str, ...]) -> Arrays:
    return Arrays(
        parts["x_train"],
        parts["y_train"].astype(np.int64),
        parts["x_test"],
        parts["y_test"].astype(np.int64),
        classes,
    )
