"""What mirrors hold: over any network in bounded time, piece by piece."""

import contextlib
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from http.client import HTTPException

from .formats import as_text, checked, limited
from .say import Text, is_interactive

# Seconds without a byte after which a server counts as gone.
TIMEOUT = 10
# Errors of a server that is there: asked again, it may do better.
ANSWERS = (
    urllib.error.HTTPError,
    HTTPException,
    ConnectionResetError,
    ConnectionAbortedError,
    ssl.SSLEOFError,
)

_TOO_SLOW = Text(zh="传得太慢", en="the transfer was too slow")


def ask(mirrors: tuple[str, ...], name: str) -> tuple[list[str], list[Text]]:
    """Ask each mirror whether it answers at all, if only with an error, in ``TIMEOUT`` seconds.

    One that swallows connections would cost minutes: a socket's own timeout holds for each of the
    server's addresses in turn, of which there may be eight. So each gets a quarter of the time: the
    next one may work, as where IPv6 is broken.

    Returns:
        The mirrors that answer, and why others do not.
    """
    outcome: dict[str, Text | None] = {
        mirror: Text(
            zh=f"{mirror}：{TIMEOUT} 秒内没有回答", en=f"{mirror}: no answer within {TIMEOUT} s"
        )
        for mirror in mirrors
    }

    def try_one(mirror: str) -> None:
        try:
            request = urllib.request.Request(mirror + name, method="HEAD")
            urllib.request.urlopen(request, timeout=TIMEOUT / 4).close()
            outcome[mirror] = None
        except Exception as error:
            outcome[mirror] = None if _is_there(error) else as_text(error, mirror)

    threads = [threading.Thread(target=try_one, args=(mirror,), daemon=True) for mirror in mirrors]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    known = dict(outcome)  # a late thread may still write
    answering = [mirror for mirror, failure in known.items() if failure is None]
    return answering, [failure for failure in known.values() if failure is not None]


def received(url: str, size: int, deadline: float) -> Iterator[bytes]:
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


def _is_there(error: Exception) -> bool:
    """Whether a server answers, if only with an error; urllib wraps some."""
    return isinstance(error, ANSWERS) or isinstance(getattr(error, "reason", None), ANSWERS)
