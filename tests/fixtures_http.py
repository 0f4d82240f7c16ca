"""A tiny MNIST and a tiny CIFAR-10 in their genuine file formats, and a server to fetch them from.

Run as a script it loads one of them in a process of its own:
``python fixtures_http.py NAME URL ROOT`` waits for a line on its standard input, loads, and prints
a JSON object with the source and a checksum of all pixels.
"""

import dataclasses
import functools
import gzip
import hashlib
import io
import json
import pickle
import socket
import struct
import sys
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from d2lhelpers import formats, sources
from d2lhelpers.data import load_cifar10, load_mnist

LOADERS = {"MNIST": load_mnist, "CIFAR-10": load_cifar10}
TRAIN_SIZE, TEST_SIZE = 60, 20
KEYS = ("x_train", "y_train", "x_test", "y_test")


@functools.cache
def tiny(name):
    """The four arrays as Keras stores them: uint8, (N, 28, 28) or (N, 32, 32, 3), and (N,)."""
    random = np.random.RandomState(7 if name == "MNIST" else 8)
    shape = (28, 28) if name == "MNIST" else (32, 32, 3)
    parts = {}
    for split, size in (("train", TRAIN_SIZE), ("test", TEST_SIZE)):
        parts[f"x_{split}"] = random.randint(0, 256, (size, *shape)).astype(np.uint8)
        parts[f"y_{split}"] = random.randint(0, 10, size).astype(np.uint8)
    return parts


def nchw(images):
    """Images (N, H, W) or (N, H, W, C) as (N, C, H, W)."""
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def idx_bytes(array):
    """An IDX file of bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


class _OldPickler(pickle.Pickler):
    """Writes dtypes with 0 and 1 for False and True, as the Python 2 of the real files did."""

    def reducer_override(self, obj):
        if isinstance(obj, np.dtype):
            return np.dtype, (obj.str[1:], 0, 1), obj.__reduce__()[2]
        return NotImplemented


def _pickled(value):
    file = io.BytesIO()
    _OldPickler(file, protocol=2).dump(value)
    return file.getvalue()


@functools.cache
def files(name):
    """The data set's files in torchvision's layout, {path below the root: bytes}."""
    parts = tiny(name)
    if name == "MNIST":
        return {formats.MNIST_FILES[key]: idx_bytes(array) for key, array in parts.items()}
    images, labels = np.split(nchw(parts["x_train"]), 5), np.split(parts["y_train"], 5)
    batches = {f"data_batch_{i + 1}": (images[i], labels[i]) for i in range(5)}
    batches["test_batch"] = (nchw(parts["x_test"]), parts["y_test"])
    contents = {
        batch: _pickled({"data": images.reshape(len(images), -1), "labels": labels.tolist()})
        for batch, (images, labels) in batches.items()
    }
    contents["batches.meta"] = _pickled({"label_names": list(formats.CIFAR10_CLASSES)})
    return {f"cifar-10-batches-py/{batch}": content for batch, content in contents.items()}


def write_files(name, root):
    """Put the data set on disk in torchvision's layout."""
    for path, content in files(name).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


@functools.cache
def archives(name):
    """What a mirror serves, {path of the URL: bytes}."""
    contents = files(name)
    if name == "MNIST":
        return {
            f"/{path.rpartition('/')[2]}.gz": gzip.compress(content, mtime=0)
            for path, content in contents.items()
        }
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for path, content in contents.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return {"/cifar-10-python.tar.gz": gzip.compress(file.getvalue(), mtime=0)}


def _md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def patch_data(patch):
    """Make `d2lhelpers.sources` take the tiny data sets for the real ones; `patch` is setattr."""
    small = {
        name: dataclasses.replace(data_set, train_size=TRAIN_SIZE, test_size=TEST_SIZE)
        for name, data_set in sources.DATA_SETS.items()
    }
    patch(sources, "DATA_SETS", small)
    mnist = tiny("MNIST")
    patch(formats, "MNIST_SHA256", {key: hashlib.sha256(mnist[key]).hexdigest() for key in KEYS})
    patch(formats, "CIFAR10_MD5", batch_md5())


def batch_md5():
    """{file of CIFAR-10: MD5}."""
    return {path.rpartition("/")[2]: _md5(content) for path, content in files("CIFAR-10").items()}


def patch_mirrors(patch, *urls):
    """Make `d2lhelpers.sources` download from these addresses, which end in a slash."""
    there = {
        name: dataclasses.replace(data_set, mirrors=urls)
        for name, data_set in sources.DATA_SETS.items()
    }
    patch(sources, "DATA_SETS", there)


class Mirror:
    """What the server serves, and how badly.

    Attributes:
        url: its address, with a slash at the end.
        contents: {path: bytes}; anything else is a 404.
        gets: the paths of the files asked for, in order.
        silent: never answer at all.
        reset: break the connection in the middle of a file.
        reset_head: break it before the answer, where a HEAD asks whether the server is there.
        trickle: send a byte every so many seconds, for ever.
        preamble: what goes before that, if not the headers of a file.
        stall: send half of a file, set `stalled`, and send no more until `resume` is set.
        endless: send zeros for ever, and no length.
        delay: seconds before every file.
        heals_at: the number of the file asked for from which on nothing is bad.
    """

    def __init__(self):
        self.url = ""
        self.gets = []
        self.heals_at = 0
        self.stalled, self.resume = threading.Event(), threading.Event()
        self.heal()

    def heal(self):
        self.contents = {**archives("MNIST"), **archives("CIFAR-10")}
        self.silent = self.stall = self.reset = self.reset_head = self.endless = False
        self.delay = self.trickle = 0.0
        self.preamble = b""


@contextmanager
def serve():
    """A `Mirror` on this machine, for the time of the with block."""
    mirror = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            if mirror.reset_head:
                self.break_off()
            else:
                self.answer(body=False)

        def do_GET(self):
            mirror.gets.append(self.path)
            if len(mirror.gets) == mirror.heals_at:
                mirror.heal()
            self.answer(body=True)

        def answer(self, body):
            if mirror.silent:
                mirror.resume.wait()
                return
            content = mirror.contents.get(self.path)
            if content is None:
                self.send_error(404)
                return
            if body and mirror.preamble:
                self.wfile.write(mirror.preamble)
            else:
                self.send_response(200)
                if not mirror.endless:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
            if not body:
                return
            mirror.resume.wait(mirror.delay)
            half = len(content) // 2
            try:
                while mirror.trickle:
                    self.wfile.write(b"0")
                    self.wfile.flush()
                    mirror.resume.wait(mirror.trickle)
                while mirror.endless:
                    self.wfile.write(bytes(2**16))
                self.wfile.write(content[:half])
                if mirror.reset:
                    self.wfile.flush()
                    self.break_off()
                    return
                if mirror.stall:
                    self.wfile.flush()
                    mirror.stalled.set()
                    mirror.resume.wait()
                self.wfile.write(content[half:])
            except OSError:
                pass  # the client has gone

        def break_off(self):
            # Closing with this option sends RST instead of FIN.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    try:
        yield mirror
    finally:
        mirror.resume.set()
        server.shutdown()
        server.server_close()


def fingerprint(loaded):
    """Checksum of all pixels and labels of an `ImageData`."""
    digest = hashlib.sha256()
    for loader in (loaded.train, loaded.test):
        digest.update(loader.dataset.images.numpy().tobytes())
        digest.update(loader.dataset.labels.numpy().tobytes())
    return digest.hexdigest()


def main():
    name, url, root = sys.argv[1:]
    patch_data(setattr)
    patch_mirrors(setattr, url)
    print("ready", flush=True)
    sys.stdin.readline()
    loaded = LOADERS[name](root=root)
    print(json.dumps({"source": loaded.source, "fingerprint": fingerprint(loaded)}))


if __name__ == "__main__":
    main()
