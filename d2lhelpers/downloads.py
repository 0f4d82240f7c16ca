"""Downloading MNIST and CIFAR-10: from whichever mirror works, verified, in bounded time.

Files get their names in one step, and only once all of them are in hand and verified. Nothing that
stood in their place is lost. One process at a time downloads to a folder.
"""

import contextlib
import os
import queue
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterable, Iterator
from http.client import HTTPException
from pathlib import Path

from ._paths import LockedError, alone, free_name, write_atomically
from .formats import DataSet, Flaw, as_text, checked, joined, limited
from .reading import Reading, read_files
from .say import Text, is_interactive, say

# Seconds without a byte after which a server counts as gone.
TIMEOUT = 10
# Seconds that a download may take: so many, and so many for every megabyte (100 kB/s).
PATIENCE = (30, 10)
# The mirrors are asked for a file so many times, each after so many seconds.
PAUSES = (0, 1, 2)
# Errors of a server that is there: asked again, it may do better.
ANSWERS = (
    urllib.error.HTTPError,
    HTTPException,
    ConnectionResetError,
    ConnectionAbortedError,
    ssl.SSLEOFError,
)


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


_TOO_SLOW = Text(zh="传得太慢", en="the transfer was too slow")


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
    mirrors = _answering(data_set.mirrors, archives[0].rpartition("/")[2])
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
                    file.writelines(_received(url, size, time.monotonic() + share))
                    file.seek(0)
                    reading.unpack(archive, file, url, keep=data_set.files)
                    return
                except Flaw as flaw:
                    failures.setdefault(url, flaw.text)
            mirrors.remove(mirror)
            mirrors.append(mirror)
    raise DownloadError.of_mirrors(failures.values())


def _received(url: str, size: int, deadline: float) -> Iterator[bytes]:
    """What the address holds, piece by piece, with a bar where a person is watching.

    Raises:
        Flaw: whatever goes wrong on the network; a silence of ``TIMEOUT`` seconds; the deadline
            has passed; it has more than twice so many bytes.
    """
    from tqdm.auto import tqdm

    pieces = _in_time(_pieces(url), deadline)
    with checked(url), contextlib.closing(pieces):
        bar = tqdm(
            total=next(pieces),
            desc=url.rpartition("/")[2],
            unit="B",
            unit_scale=True,
            disable=not is_interactive(),
        )
        with bar:
            for piece in limited(pieces, size):
                yield piece
                bar.update(len(piece))


def _pieces(url: str) -> Generator:
    """The length of what the address holds, 0 if it is not known, and then that piece by piece."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        yield response.length or 0
        # read() would wait for all of it
        yield from iter(lambda: response.read1(2**16), b"")


def _in_time(items: Generator, deadline: float) -> Iterator:
    """The items, made in a thread of their own, until the deadline.

    A server that sends its headers, or the size of a chunk, byte by byte keeps urllib busy for
    ever: no time-out of a socket ends that. Such a thread is left behind.

    Raises:
        TimeoutError: the deadline has passed.
    """
    made, errors, is_over = queue.Queue(maxsize=16), [], threading.Event()

    def make() -> None:
        try:
            with contextlib.closing(items):
                for item in items:
                    made.put(item)
                    if is_over.is_set():
                        return
        except Exception as error:
            errors.append(error)
        made.put(None)

    threading.Thread(target=make, daemon=True).start()
    try:
        with contextlib.suppress(queue.Empty):
            while (left := deadline - time.monotonic()) > 0:
                if (item := made.get(timeout=left)) is not None:
                    yield item
                elif errors:
                    raise errors.pop()
                else:
                    return
        raise TimeoutError(_TOO_SLOW)
    finally:
        is_over.set()
        with contextlib.suppress(queue.Empty):
            while True:  # a thread that waits for room goes on, and ends
                made.get_nowait()


def _answering(mirrors: tuple[str, ...], name: str) -> list[str]:
    """Those mirrors that answer at all, if only with an error, within ``TIMEOUT`` seconds.

    One that swallows connections would cost minutes: a socket's own timeout holds for each of the
    server's addresses in turn, of which there may be eight. So each gets a quarter of the time: the
    next one may work, as where IPv6 is broken.

    Raises:
        DownloadError: none of them does.
    """
    outcome: dict[str, Text | None] = {
        mirror: Text(
            zh=f"{mirror}：{TIMEOUT} 秒内没有回答", en=f"{mirror}: no answer within {TIMEOUT} s"
        )
        for mirror in mirrors
    }

    def ask(mirror: str) -> None:
        try:
            request = urllib.request.Request(mirror + name, method="HEAD")
            urllib.request.urlopen(request, timeout=TIMEOUT / 4).close()
            outcome[mirror] = None
        except Exception as error:
            outcome[mirror] = None if _is_there(error) else as_text(error, mirror)

    threads = [threading.Thread(target=ask, args=(mirror,), daemon=True) for mirror in mirrors]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    failures = dict(outcome)  # a late thread may still write
    answering = [mirror for mirror, failure in failures.items() if failure is None]
    if not answering:
        raise DownloadError.of_mirrors(failures.values())
    return answering


def _is_there(error: Exception) -> bool:
    """Whether a server answers, if only with an error; urllib wraps some."""
    return isinstance(error, ANSWERS) or isinstance(getattr(error, "reason", None), ANSWERS)
