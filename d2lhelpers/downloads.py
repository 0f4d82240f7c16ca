"""Downloading MNIST and CIFAR-10: from whichever mirror works, verified, in bounded time.

Files get their names in one step, and only once all of them are in hand and verified. Nothing that
stood in their place is lost. One process at a time downloads to a folder.
"""

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from ._network import ask, received
from ._paths import LockedError, alone, free_name, write_atomically
from .formats import DataSet, Flaw, as_text, joined
from .reading import Reading, read_files
from .say import Text, say

# Seconds that a download may take: so many, and so many for every megabyte (100 kB/s).
PATIENCE = (30, 10)
# The mirrors are asked for a file so many times, each after so many seconds.
PAUSES = (0, 1, 2)


class DownloadError(Exception):
    """A data set cannot be downloaded.

    Attributes:
        cause: why, in a few words.
        text: why, mirror by mirror.
        advice: what to do, in a clause.
    """

    def __init__(self, cause: Text, text: Text, advice: Text):
        super().__init__(text)
        self.cause, self.text, self.advice = cause, text, advice

    @classmethod
    def of_mirrors(cls, failures: Iterable[Text]) -> "DownloadError":
        advice = Text(zh="联网后重新运行", en="connect to the network and run again")
        return cls(Text(zh="没有可用的镜像", en="no mirror delivers"), joined(failures), advice)

    @classmethod
    def of_folder(cls, root: Path, cause: Text) -> "DownloadError":
        advice = Text(
            zh=f"让 {root} 可以写入（腾出空间，移走挡路的文件）再重新运行",
            en=f"make it possible to write to {root} (free some space, remove what is in the way) "
            "and run again",
        )
        return cls(cause, cause, advice)


def complete(
    data_set: DataSet, root: Path
) -> tuple[Reading, dict[Path, Path], DownloadError | None]:
    """Download the parts that are missing in ``root``, and store them there.

    Returns:
        All parts; the new names of files whose place was needed, {old: new}; and why not everything
        could be stored, None if it was.

    Raises:
        DownloadError: no mirror delivers, or there is no place for what it delivers.
    """
    seconds = PATIENCE[0] + PATIENCE[1] * data_set.megabytes
    try:
        root.mkdir(parents=True, exist_ok=True)
        with alone(root / f".{data_set.name}.lock", seconds):
            reading = read_files(data_set, root)  # another process may have been at work
            if reading.missing:
                _download(reading, root, time.monotonic() + seconds)
            return reading, *store(reading, root)
    except LockedError as error:
        held = error.args[0]
        advice = Text(
            zh="等那个进程结束后重新运行", en="wait for that process to end and run again"
        )
        raise DownloadError(held, held, advice) from error
    except OSError as error:
        cause = as_text(error)
        raise DownloadError.of_folder(root, cause) from error


def store(reading: Reading, root: Path) -> tuple[dict[Path, Path], DownloadError | None]:
    """Write the contents that came out of archives to their files, each in one step.

    Returns:
        The new names of files that were something else, {old: new}; nothing is overwritten. And
        why no more could be written, None if all could.
    """
    kept = {}
    for part, content in reading.contents.items():
        path = root / reading.data_set.files[part]
        if os.path.lexists(path) and part not in reading.flaws:
            continue

        def write(partial: Path, path: Path = path, content: bytes = content) -> None:
            partial.write_bytes(content)
            if os.path.lexists(path):
                kept[path] = path.rename(free_name(path))

        try:
            write_atomically(path, write)
        except OSError as error:
            return kept, DownloadError.of_folder(root, as_text(error))
    return kept, None


def _download(reading: Reading, root: Path, deadline: float) -> None:
    """Fetch every archive that is needed."""
    data_set, archives = reading.data_set, reading.missing_archives
    mirrors, failures = ask(data_set.mirrors, archives[0].rpartition("/")[2])
    if not mirrors:
        raise DownloadError.of_mirrors(failures)
    say(
        zh=f"正在下载 {data_set.name}（约 {data_set.megabytes} MB）到 {root}……",
        en=f"Downloading {data_set.name} (about {data_set.megabytes} MB) to {root} …",
    )
    for archive in archives:
        _download_archive(reading, archive, mirrors, root, deadline)


def _download_archive(
    reading: Reading, archive: str, mirrors: list[str], root: Path, deadline: float
) -> None:
    """Fetch an archive from the first mirror that delivers it intact; others move to the end."""
    data_set, failures = reading.data_set, {}
    for pause in PAUSES:
        if failures and time.monotonic() + pause > deadline:
            break
        time.sleep(pause)
        for asked, mirror in enumerate(list(mirrors)):
            url = mirror + archive.rpartition("/")[2]
            # A mirror that trickles leaves time for the next ones.
            share = (deadline - time.monotonic()) / (len(mirrors) - asked)
            # A file without a name: a killed process leaves nothing behind. Where it cannot be
            # written, no other mirror would help.
            with tempfile.TemporaryFile(dir=root) as file:
                try:
                    size = 10**6 * data_set.megabytes
                    file.writelines(received(url, size, time.monotonic() + share))
                    file.seek(0)
                    reading.unpack(archive, file, url, keep=data_set.files)
                    return
                except Flaw as flaw:
                    failures.setdefault(url, flaw.text)
            mirrors.remove(mirror)
            mirrors.append(mirror)
    raise DownloadError.of_mirrors(failures.values())
