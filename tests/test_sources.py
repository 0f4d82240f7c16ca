"""`d2lhelpers.sources`: data from everywhere, and that no misfortune gives wrong data."""

import contextlib
import dataclasses
import errno
import gzip
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import fixtures_http as tiny_data
import numpy as np
import pytest
import torch
from fixtures_http import LOADERS, TEST_SIZE, TRAIN_SIZE, fingerprint, nchw, tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d2lhelpers import _network, downloads, formats, reading, sources
from d2lhelpers.data import load_cifar10, load_mnist
from d2lhelpers.sources import DamagedDataWarning, StandInWarning, UnsavedDataWarning, fetch

# What the system says of a port where nobody listens.
REFUSED = "actively refused" if sys.platform == "win32" else "Connection refused"
NPZ = {"MNIST": "mnist.npz", "CIFAR-10": "cifar10.npz"}
both = pytest.mark.parametrize("name", LOADERS)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSES", (0, 0, 0))


@pytest.fixture
def mirror(small, monkeypatch):
    """A server with the tiny data sets."""
    with tiny_data.serve() as mirror:
        tiny_data.patch_mirrors(monkeypatch.setattr, mirror.url)
        yield mirror


@pytest.fixture
def genuine(small, tmp_path_factory):
    """{name: fingerprint of the tiny data set}."""
    marks = {}
    for name, load in LOADERS.items():
        root = tmp_path_factory.mktemp("genuine")
        tiny_data.write_files(name, root)
        marks[name] = fingerprint(load(root=root, source="real"))
    return marks


@pytest.fixture
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def write_npz(name, root, compressed=True, **changes):
    root.mkdir(exist_ok=True)
    save = np.savez_compressed if compressed else np.savez
    save(root / NPZ[name], **{**tiny(name), **changes})


def listing(folder):
    """Every path below a folder with its time of change and contents."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


# ------------------------------------------------------------------------------ the data root


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("D2L_DATA", str(tmp_path / "here"))
    assert sources.data_root() == tmp_path / "here"
    assert sources.data_root(tmp_path / "there") == tmp_path / "there"
    monkeypatch.delenv("D2L_DATA")
    monkeypatch.chdir(tmp_path)
    checkout = Path(sources.__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").exists():
        assert sources.data_root() == checkout / "data"
    monkeypatch.setattr(sources._paths, "__file__", str(tmp_path / "lib" / "pkg" / "_paths.py"))
    assert sources.data_root() == tmp_path / "data"


# ------------------------------------------------------------------------------ on disk


@both
@pytest.mark.parametrize("layout", ["torchvision", "npz", "npz with columns of int64 labels"])
def test_reads_every_layout(name, layout, small, genuine, no_warnings, monkeypatch):
    if layout == "torchvision":
        tiny_data.write_files(name, small)
        words = name
    else:
        columns = {}
        if layout != "npz":
            parts = tiny(name)
            columns = {k: parts[k][:, None].astype(np.int64) for k in ("y_train", "y_test")}
        write_npz(name, small, **columns)
        words = "MNIST" if name == "MNIST" else "CIFAR-10 (cifar10.npz)"
    # Neither a lock nor a download has a place here.
    monkeypatch.setattr(sources, "complete", None)
    loaded = LOADERS[name](root=small)
    assert fingerprint(loaded) == genuine[name]
    assert (loaded.source, loaded.is_real) == (words, True)
    assert loaded.classes[3] == ("3" if name == "MNIST" else "cat")
    parts = tiny(name)
    assert np.array_equal(loaded.train.dataset.images, nchw(parts["x_train"]))
    assert np.array_equal(loaded.test.dataset.labels, parts["y_test"])
    found = fetch(name, small)
    assert (found.is_real, found.source, found.reason) == (True, words, None)
    assert found.where.exists() and small in found.where.parents
    assert str(found) == f"{words}: {found.where}"


def test_reads_gzipped_files_mixed_with_others(small, genuine, no_warnings):
    tiny_data.write_files("MNIST", small)
    plain = small / "MNIST" / "raw" / "train-images-idx3-ubyte"
    plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert fingerprint(load_mnist(root=small)) == genuine["MNIST"]


def test_jpeg_copy_is_called_so(small, monkeypatch):
    mark = hashlib.sha256(tiny("CIFAR-10")["x_test"]).hexdigest()
    monkeypatch.setattr(formats, "CIFAR10_JPEG_SHA256", mark)
    write_npz("CIFAR-10", small)
    assert load_cifar10(root=small).source == "CIFAR-10 (JPEG copy)"


@both
def test_read_only_folder_with_data(name, small, genuine, monkeypatch, no_warnings):
    """Also for the superuser, whom a folder's mode does not stop: nothing may try to write."""
    write_npz(name, small)
    tiny_data.write_files(name, small)
    before = listing(small)

    def refuse(*args, **kwargs):
        raise AssertionError("something tried to write")

    for module, function in ((os, "mkdir"), (os, "replace"), (os, "unlink"), (os, "rename")):
        monkeypatch.setattr(module, function, refuse)
    small.chmod(0o555)
    try:
        loaded = LOADERS[name](root=small)
    finally:
        small.chmod(0o755)
    assert fingerprint(loaded) == genuine[name]
    assert listing(small) == before


@both
def test_folder_that_cannot_be_written(name, small, tmp_path):
    (tmp_path / "file").write_text("no folder")
    root = tmp_path / "file" / "data"
    with pytest.warns(StandInWarning, match=r"NotADirectory|FileExists"):
        assert not LOADERS[name](root=root).is_real
    with pytest.raises(FileNotFoundError, match=r"NotADirectory|FileExists"):
        LOADERS[name](root=root, source="real")


# ------------------------------------------------------------------------------ damaged files


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _negative_size(path):
    content = bytearray(path.read_bytes())
    content[4] ^= 0x80  # NumPy's reshape would take any negative size for "work it out"
    path.write_bytes(content)


def _empty(path):
    path.write_bytes(b"")


def _raw(change):
    def damage(name, root):
        tiny_data.write_files(name, root)
        path = root / (
            "MNIST/raw/train-images-idx3-ubyte"
            if name == "MNIST"
            else "cifar-10-batches-py/data_batch_3"
        )
        change(path)
        return path

    return damage


def _npz(change=None, **changes):
    def damage(name, root):
        arrays = {key: f(tiny(name)) for key, f in changes.items()}
        write_npz(name, root, **arrays)
        if change:
            change(root / NPZ[name])
        return root / NPZ[name]

    return damage


def _gz(name, root):
    path = _raw(lambda path: None)(name, root)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes())[:-30])
    path.unlink()
    return packed


def _another_header(path):
    images = tiny("MNIST")["x_train"]
    path.write_bytes(tiny_data.idx_bytes(images.reshape(-1, 14, 56)))


def _without_labels(path):
    parts = tiny("MNIST" if path.name == "mnist.npz" else "CIFAR-10")
    np.savez(path, **{key: part for key, part in parts.items() if key != "y_test"})


DAMAGE = {
    "MNIST truncated": ("MNIST", _raw(_truncate), "cannot be read"),
    "MNIST bit": ("MNIST", _raw(_flip_a_bit), "do not have the published checksum"),
    "MNIST empty": ("MNIST", _raw(_empty), "does not begin like an IDX file"),
    "MNIST size": ("MNIST", _raw(_negative_size), "cannot be read"),
    "MNIST shape": ("MNIST", _raw(_another_header), r"\(60, 14, 56\) instead of \(60, 28, 28\)"),
    "MNIST gz": ("MNIST", _gz, "EOFError"),
    "MNIST npz truncated": ("MNIST", _npz(_truncate), "cannot be read"),
    "MNIST npz other pixels": (
        "MNIST",
        _npz(x_test=lambda parts: parts["x_test"] ^ 1),
        "do not have the published checksum",
    ),
    "MNIST npz incomplete": ("MNIST", _npz(_without_labels), "y_test"),
    "CIFAR truncated": ("CIFAR-10", _raw(_truncate), "do not have the published checksum"),
    "CIFAR bit": ("CIFAR-10", _raw(_flip_a_bit), "do not have the published checksum"),
    "CIFAR empty": ("CIFAR-10", _raw(_empty), "do not have the published checksum"),
    "CIFAR npz truncated": ("CIFAR-10", _npz(_truncate), "cannot be read"),
    "CIFAR npz bit": ("CIFAR-10", _npz(_flip_a_bit), "cannot be read"),
    "CIFAR npz shape": (
        "CIFAR-10",
        _npz(x_train=lambda parts: nchw(parts["x_train"])),
        r"\(60, 3, 32, 32\) instead of \(60, 32, 32, 3\)",
    ),
    "CIFAR npz floats": (
        "CIFAR-10",
        _npz(x_test=lambda parts: parts["x_test"] / np.float32(255)),
        "float32 instead of uint8",
    ),
    "CIFAR npz label": (
        "CIFAR-10",
        _npz(y_test=lambda parts: parts["y_test"] + 5),
        "outside 0 to 9",
    ),
    "CIFAR npz objects": (
        "CIFAR-10",
        _npz(y_test=lambda parts: parts["y_test"].astype(object)),
        "allow_pickle",
    ),
    "CIFAR npz incomplete": ("CIFAR-10", _npz(_without_labels), "y_test"),
}
damaged = pytest.mark.parametrize(("name", "damage", "what"), DAMAGE.values(), ids=DAMAGE)


@damaged
def test_damaged_file_is_named_and_not_used(name, damage, what, small):
    path = damage(name, small)
    with pytest.warns() as caught:
        loaded = LOADERS[name](root=small)
    assert [w.category for w in caught] == [DamagedDataWarning, StandInWarning]
    text = str(caught[0].message)
    assert text.count(str(path)) == 2 and re.search(what, text)
    assert caught[0].filename == caught[1].filename == __file__
    assert (loaded.is_real, loaded.source) == (False, f"synthetic stand-in for {name}")
    with pytest.warns(DamagedDataWarning), pytest.raises(FileNotFoundError) as error:
        LOADERS[name](root=small, source="real")
    assert str(path) in str(error.value)


@damaged
def test_damaged_file_is_replaced(name, damage, what, small, genuine, mirror):
    damage(name, small)
    with pytest.warns(DamagedDataWarning, match=what) as caught:
        loaded = LOADERS[name](root=small)
    assert len(caught) == 1
    assert (loaded.source, fingerprint(loaded)) == (name, genuine[name])
    gets = len(mirror.gets)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fingerprint(LOADERS[name](root=small)) == genuine[name]
    assert len(mirror.gets) == gets


@both
def test_next_source_in_the_order_steps_in(name, small, genuine):
    _raw(_flip_a_bit)(name, small)
    write_npz(name, small)
    with pytest.warns(DamagedDataWarning) as caught:
        loaded = LOADERS[name](root=small, source="real")
    assert len(caught) == 1
    assert fingerprint(loaded) == genuine[name]


@both
def test_download_is_preferred_to_another_copy(name, small, genuine, mirror):
    damaged = _raw(_flip_a_bit)(name, small)
    write_npz(name, small)
    with pytest.warns(DamagedDataWarning, match=re.escape(str(damaged))):
        loaded = LOADERS[name](root=small)
    assert (loaded.source, fingerprint(loaded)) == (name, genuine[name])
    assert len(mirror.gets) == 1  # only what is of no use
    assert damaged.read_bytes() == tiny_data.files(name)[str(damaged.relative_to(small))]


def test_fetch_names_every_damaged_file(small):
    damaged = [_raw(_flip_a_bit)("MNIST", small), _npz(_truncate)("MNIST", small)]
    with pytest.warns() as caught:
        found = fetch("MNIST", small)
    assert [w.category for w in caught] == [DamagedDataWarning]
    for path in damaged:
        assert str(path) in str(caught[0].message) and str(path) in found.reason.en
    assert caught[0].filename == __file__


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["MNIST", "CIFAR-10"]), st.data())
def test_any_altered_byte_is_noticed(small, name, data_):
    """Every byte of torchvision's layout counts; in a zip archive a few don't, and do no harm."""
    tiny_data.write_files(name, small)
    write_npz(name, small, compressed=data_.draw(st.booleans(), label="compressed"))
    data_set = sources.DATA_SETS[name]
    in_npz = data_.draw(st.booleans(), label="npz")

    def read():
        if in_npz:
            return reading.read_npz(data_set, small)[0]
        return reading.read_files(data_set, small).arrays

    intact = read()
    path = (
        small / NPZ[name]
        if in_npz
        else small / data_.draw(st.sampled_from([*tiny_data.files(name)]))
    )
    content = bytearray(path.read_bytes())
    position = data_.draw(st.integers(0, len(content) - 1), label="position")
    if data_.draw(st.booleans(), label="cut"):
        content = content[:position]
    else:
        content[position] ^= data_.draw(st.integers(1, 255), label="change")
    path.write_bytes(content)
    try:
        altered = read()
    except formats.Flaw as flaw:
        assert flaw.path == path
    else:
        assert in_npz or altered is None or path.name == "batches.meta"
        if altered is not None:
            assert all(np.array_equal(a, b) for a, b in zip(altered[:4], intact[:4], strict=True))


@both
def test_missing_file_is_named(name, small, genuine, no_warnings):
    tiny_data.write_files(name, small)
    missing = small / ("MNIST/raw/t10k-labels-idx1-ubyte" if name == "MNIST" else BATCH_3)
    missing.unlink()
    found = fetch(name, small)
    assert not found.is_real
    for text in (*found.cause, *found.reason):
        assert str(missing) in text
    with tiny_data.serve() as mirror, pytest.MonkeyPatch.context() as patch:
        tiny_data.patch_mirrors(patch.setattr, mirror.url)
        assert fingerprint(LOADERS[name](root=small)) == genuine[name]
    assert len(mirror.gets) == 1 and missing.exists()


BATCH_3 = "cifar-10-batches-py/data_batch_3"
FIRST = {"MNIST": "MNIST/raw/train-images-idx3-ubyte", "CIFAR-10": BATCH_3}


def _archive_by_hand(name, root, cut=None):
    """Put the archive of `FIRST` where torchvision would; returns its path."""
    archive = (
        root / sources.DATA_SETS[name].archives["x_train" if name == "MNIST" else "test_batch"]
    )
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(tiny_data.archives(name)[f"/{archive.name}"][:cut])
    return archive


@both
@pytest.mark.parametrize("spoil", [_truncate, _flip_a_bit, _empty])
def test_archive_beside_a_damaged_file_heals_it(name, spoil, small, genuine):
    """Offline, and without losing what was there."""
    tiny_data.write_files(name, small)
    path = small / FIRST[name]
    spoil(path)
    spoilt = path.read_bytes()
    _archive_by_hand(name, small)
    with pytest.warns(DamagedDataWarning, match=f"{path.name}.kept") as caught:
        assert fingerprint(LOADERS[name](root=small)) == genuine[name]
    assert len(caught) == 1
    assert path.read_bytes() == tiny_data.files(name)[FIRST[name]]
    assert path.with_name(f"{path.name}.kept").read_bytes() == spoilt
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fingerprint(LOADERS[name](root=small)) == genuine[name]


@both
def test_archive_serves_where_nothing_can_be_written(name, small, genuine, monkeypatch):
    tiny_data.write_files(name, small)
    _truncate(small / FIRST[name])
    _archive_by_hand(name, small)
    before = listing(small)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(downloads, "write_atomically", refuse)
    with pytest.warns(DamagedDataWarning, match=Path(FIRST[name]).name):
        assert fingerprint(LOADERS[name](root=small)) == genuine[name]
    assert listing(small) == before


def test_archive_put_in_place_by_hand_is_used(small, genuine, no_warnings):
    archive = _archive_by_hand("CIFAR-10", small)
    loaded = load_cifar10(root=small)
    assert (loaded.source, fingerprint(loaded)) == ("CIFAR-10", genuine["CIFAR-10"])
    assert fetch("CIFAR-10", small).where == archive
    assert list(small.iterdir()) == [archive]


def test_truncated_archive_is_named(small):
    archive = _archive_by_hand("CIFAR-10", small, cut=5000)
    with pytest.warns(DamagedDataWarning, match=re.escape(str(archive))):
        found = fetch("CIFAR-10", small)
    assert not found.is_real and str(archive) in found.cause.en and str(archive) in found.cause.zh


def test_archive_with_other_contents_is_never_unpickled(small, monkeypatch):
    """Each batch is verified before it is unpickled, whatever archive holds it."""
    monkeypatch.setitem(formats.CIFAR10_MD5, "data_batch_2", "0" * 32)
    loads, seen = formats.pickle.loads, []
    monkeypatch.setattr(
        formats.pickle, "loads", lambda content, **_: seen.append(content) or loads(content, **_)
    )
    _archive_by_hand("CIFAR-10", small)
    with pytest.warns(DamagedDataWarning, match="published checksum"):
        assert not fetch("CIFAR-10", small).is_real
    assert tiny_data.files("CIFAR-10")["cifar-10-batches-py/data_batch_2"] not in seen


@pytest.mark.parametrize("is_online", [True, False])
@pytest.mark.parametrize("size", [TRAIN_SIZE, TRAIN_SIZE + 5])
def test_files_of_another_data_set_are_kept(size, is_online, small, genuine, mirror):
    """A reader's own IDX files, well-formed, with MNIST's names and maybe its sizes."""
    tiny_data.write_files("MNIST", small)
    own = small / FIRST["MNIST"]
    content = tiny_data.idx_bytes(np.full((size, 28, 28), 7, np.uint8))
    own.write_bytes(content)
    own.with_name(f"{own.name}.kept").write_bytes(b"from an earlier time")
    if not is_online:
        mirror.contents.clear()
    with pytest.warns() as caught:
        loaded = load_mnist(root=small)
    assert (caught[0].category, loaded.is_real) == (DamagedDataWarning, is_online)
    kept = own.with_name(f"{own.name}.kept2")
    assert (kept if is_online else own).read_bytes() == content
    assert kept.exists() == (kept.name in str(caught[0].message)) == is_online
    assert own.with_name(f"{own.name}.kept").read_bytes() == b"from an earlier time"
    assert not is_online or fingerprint(loaded) == genuine["MNIST"]


@both
def test_folder_that_may_not_be_read(name, small, monkeypatch):
    """Emulated, as the superuser may read everything."""
    tiny_data.write_files(name, small)

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    for method in ("open", "read_bytes", "mkdir"):
        monkeypatch.setattr(Path, method, refuse)
    with pytest.warns() as caught:
        assert not LOADERS[name](root=small).is_real
    assert [w.category for w in caught] == [DamagedDataWarning, StandInWarning]
    with pytest.warns(DamagedDataWarning), pytest.raises(FileNotFoundError, match="Permission"):
        LOADERS[name](root=small, source="real")


# ------------------------------------------------------------------------------ downloads


@both
def test_downloads_and_keeps(name, small, genuine, mirror, no_warnings, capfd):
    loaded = LOADERS[name](root=small)
    assert (loaded.source, loaded.is_real, fingerprint(loaded)) == (name, True, genuine[name])
    printed = capfd.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"正在下载 {name}（约 {sources.DATA_SETS[name].megabytes} MB）到 {small}……",
        f"Downloading {name} (about {sources.DATA_SETS[name].megabytes} MB) to {small} …",
    ]
    stored = {str(path.relative_to(small)) for path in small.rglob("*") if path.is_file()}
    assert stored - {f".{name}.lock"} == set(tiny_data.files(name))
    assert len(mirror.gets) == (4 if name == "MNIST" else 1)
    LOADERS[name](root=small)
    assert len(mirror.gets) == (4 if name == "MNIST" else 1)
    assert capfd.readouterr().out == ""


@both
def test_torchvision_accepts_what_was_stored(name, small, mirror, monkeypatch):
    from torchvision import datasets

    assert fetch(name, small).is_real
    md5 = tiny_data.batch_md5()
    train = [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    meta = {**datasets.CIFAR10.meta, "md5": md5["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    theirs = datasets.MNIST if name == "MNIST" else datasets.CIFAR10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy, about pickles written by Python 2
        assert np.array_equal(theirs(small, train=False).data, tiny(name)["x_test"])


def _not_found(mirror):
    mirror.contents.clear()


def _truncated(mirror):
    mirror.contents = {
        path: content[: len(content) // 2] for path, content in mirror.contents.items()
    }


def _tampered(mirror):
    for path, content in mirror.contents.items():
        other = bytearray(content)
        other[len(other) // 2] ^= 1
        mirror.contents[path] = bytes(other)


def _silent(mirror):
    mirror.silent = True


def _stalling(mirror):
    mirror.stall = True


def _reset(mirror):
    mirror.reset = True


def _garbage(mirror):
    mirror.contents = {path: b"<html>log in first" for path in mirror.contents}


def _trickling(mirror):
    mirror.trickle = 0.05


MISFORTUNES = {
    "404": (_not_found, "404"),
    "short": (_truncated, "EOFError"),
    "tampered": (_tampered, "checksum|cannot be read"),
    "garbage": (_garbage, "gzip"),
    "reset": (_reset, "reset"),
    "silent": (_silent, "no answer within 0.5 s|timed out"),
    "stalling": (_stalling, "timed out"),
    "trickling": (_trickling, "too slow"),
}
misfortunes = pytest.mark.parametrize(("spoil", "why"), MISFORTUNES.values(), ids=list(MISFORTUNES))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(_network, "TIMEOUT", 0.5)
    monkeypatch.setattr(downloads, "PATIENCE", (0.6, 0))


@both
@misfortunes
def test_failed_download_leaves_nothing_behind(
    name, spoil, why, small, mirror, monkeypatch, request
):
    if spoil in (_silent, _stalling, _trickling):
        request.getfixturevalue("impatient")
    spoil(mirror)
    with pytest.raises(FileNotFoundError, match=why):
        LOADERS[name](root=small, source="real")
    with pytest.warns(StandInWarning):
        assert not LOADERS[name](root=small).is_real
    assert re.search(why, fetch(name, small).reason.en)
    assert [path for path in small.rglob("*") if path.name != f".{name}.lock"] == []
    assert socket.getdefaulttimeout() is None


@both
@misfortunes
def test_next_mirror_steps_in(name, spoil, why, small, genuine, mirror, monkeypatch, request):
    """A mirror that breaks, be it in the middle, is followed by the next one."""
    if spoil in (_silent, _stalling, _trickling):
        request.getfixturevalue("impatient")
        monkeypatch.setattr(downloads, "PATIENCE", (2, 0))
    spoil(mirror)
    with tiny_data.serve() as better:
        tiny_data.patch_mirrors(monkeypatch.setattr, mirror.url, better.url)
        loaded = LOADERS[name](root=small, source="real")
    assert (loaded.source, fingerprint(loaded)) == (name, genuine[name])
    assert len(mirror.gets) <= 1  # it does not get a second chance before the better one
    assert len(better.gets) == (4 if name == "MNIST" else 1)


@both
@pytest.mark.parametrize(
    ("spoil", "tries"),
    [(_not_found, 2), (_truncated, 3), (_garbage, 2), (_reset, 2), (_reset, 3), (_stalling, 2)],
)
def test_only_mirror_is_asked_again(name, spoil, tries, small, genuine, mirror, monkeypatch):
    """CIFAR-10 has no other one."""
    monkeypatch.setattr(_network, "TIMEOUT", 0.5)
    spoil(mirror)
    mirror.heals_at = tries
    assert fingerprint(LOADERS[name](root=small, source="real")) == genuine[name]
    assert len(mirror.gets) == tries + (3 if name == "MNIST" else 0)


@both
def test_mirror_is_not_asked_for_ever(name, small, mirror):
    _reset(mirror)
    reason = fetch(name, small).reason
    assert mirror.gets == mirror.gets[:1] * 3
    assert reason.en.count(mirror.url) == reason.zh.count(mirror.url) == 1


@both
def test_mirror_that_breaks_off_before_it_answers_is_there(name, small, genuine, mirror):
    mirror.reset_head = True
    assert fingerprint(LOADERS[name](root=small, source="real")) == genuine[name]


def test_mirror_that_breaks_off_before_it_is_asked_is_there(small):
    """In the middle of a TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def break_off():
            for _ in range(2):
                server.accept()[0].close()

        threading.Thread(target=break_off, daemon=True).start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        assert _network.ask((url,), "file") == ([url], [])


@pytest.mark.parametrize(
    ("name", "preamble"),
    [
        ("MNIST", b"HTTP/1.1 200 OK\r\nX: "),
        ("CIFAR-10", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["header", "size of a chunk"],
)
def test_time_is_up_whatever_trickles(name, preamble, small, genuine, mirror, monkeypatch):
    """No time-out of a socket ends the wait for a line that comes byte by byte."""
    monkeypatch.setattr(_network, "TIMEOUT", 0.5)
    monkeypatch.setattr(downloads, "PATIENCE", (0.3, 0))
    mirror.trickle, mirror.preamble = 0.02, preamble
    assert "too slow" in fetch(name, small).reason.en
    monkeypatch.setattr(downloads, "PATIENCE", (0.6, 0))
    with tiny_data.serve() as better:
        tiny_data.patch_mirrors(monkeypatch.setattr, mirror.url, better.url)
        assert fingerprint(LOADERS[name](root=small, source="real")) == genuine[name]


def test_reader_that_stops_leaves_no_thread_behind():
    """Also where the thread waits for room, or fails at the end."""
    before, closed = set(threading.enumerate()), []

    def items():
        try:
            yield from range(1000)
            raise OSError("at the end")
        finally:
            closed.append(True)

    some = _network._in_time(items(), time.monotonic() + 60)
    assert [next(some), next(some)] == [0, 1]
    some.close()
    all_ = _network._in_time(items(), time.monotonic() + 60)
    with pytest.raises(OSError, match="at the end"):
        list(all_)
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()
    assert closed == [True, True]


def _endless(mirror):
    mirror.endless = True


def _bombs():
    """{file name suffix: an archive of some kilobytes that unpacks to many megabytes}."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as packed:
        member = tarfile.TarInfo(BATCH_3)
        member.size = 20_000_000
        packed.addfile(member, io.BytesIO(bytes(member.size)))
    return {".tar.gz": tar.getvalue(), ".gz": gzip.compress(bytes(20_000_000))}


def _bomb(mirror):
    bombs = _bombs()
    for path in mirror.contents:
        mirror.contents[path] = bombs[".tar.gz" if ".tar" in path else ".gz"]


@both
@pytest.mark.parametrize(
    ("spoil", "size"),
    [
        (_endless, {"MNIST": "2,000,000", "CIFAR-10": "2,000,000"}),
        (_bomb, {"MNIST": "125,600", "CIFAR-10": "491,680"}),
    ],
)
def test_what_is_much_too_large_is_left(
    name, spoil, size, small, genuine, mirror, monkeypatch, tmp_path
):
    """It fills neither the disk nor the memory, and the next mirror steps in."""
    written = []

    class File(io.FileIO):
        def write(self, content):
            written.append(len(content))
            return super().write(content)

    def temporary_file(dir):
        return io.BufferedRandom(File(tmp_path / "temporary", "w+"))

    data_set = dataclasses.replace(sources.DATA_SETS[name], megabytes=1)
    monkeypatch.setitem(sources.DATA_SETS, name, data_set)
    spoil(mirror)
    with monkeypatch.context() as patched:
        patched.setattr(downloads.tempfile, "TemporaryFile", temporary_file)
        tracemalloc.start()
        found = fetch(name, small)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert not found.is_real
    assert f"more than {size[name]} bytes" in found.reason.en and size[name] in found.reason.zh
    assert sum(written) <= 3 * 2_000_000  # three tries
    assert peak < 10_000_000
    with tiny_data.serve() as better:
        tiny_data.patch_mirrors(monkeypatch.setattr, mirror.url, better.url)
        assert fingerprint(LOADERS[name](root=small, source="real")) == genuine[name]


@both
def test_archive_by_hand_that_is_much_too_large_is_left(name, small):
    archive = _archive_by_hand(name, small)
    archive.write_bytes(_bombs()["".join(archive.suffixes)])
    tracemalloc.start()
    with pytest.warns(DamagedDataWarning, match=f"{archive.name}.*more than"):
        found = fetch(name, small)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not found.is_real and peak < 10_000_000


def test_contents_that_are_not_the_published_ones_are_refused(small, mirror, monkeypatch):
    monkeypatch.setitem(formats.MNIST_SHA256, "x_train", "0" * 64)
    found = fetch("MNIST", small)
    assert not found.is_real and "published checksum" in found.reason.en
    assert [path for path in small.rglob("*") if path.name != ".MNIST.lock"] == []


def test_dead_mirror_is_passed_over(small, genuine, mirror, monkeypatch):
    tiny_data.patch_mirrors(monkeypatch.setattr, "http://127.0.0.1:9/", mirror.url)
    assert fingerprint(load_mnist(root=small, source="real")) == genuine["MNIST"]


@pytest.fixture
def swallow():
    """Addresses of ports that never answer: `swallow(number)`."""
    with contextlib.ExitStack() as open_:

        def make(number):
            full = open_.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(4):  # more than wait at such a port
                waiting = open_.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            return [full.getsockname()] * number

        yield make


@pytest.mark.skipif(sys.platform == "win32", reason="there, a port that is full refuses")
def test_address_that_swallows_connections_is_followed_by_the_next(
    small, genuine, mirror, swallow, monkeypatch
):
    """As where IPv6 is broken, and comes first."""
    port = int(mirror.url.rpartition(":")[2].strip("/"))
    addresses = [*swallow(2), ("127.0.0.1", port)]
    getaddrinfo = socket.getaddrinfo

    def look_up(host, *args, **kwargs):
        if host != "mirror.test":
            return getaddrinfo(host, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(_network, "TIMEOUT", 0.8)
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "*")
    tiny_data.patch_mirrors(monkeypatch.setattr, f"http://mirror.test:{port}/")
    assert fingerprint(load_cifar10(root=small, source="real")) == genuine["CIFAR-10"]


@pytest.mark.skipif(sys.platform == "win32", reason="there, a port that is full refuses")
def test_host_whose_every_address_swallows_connections_is_dead(small, swallow, monkeypatch):
    (address,) = swallow(1)
    monkeypatch.setattr(_network, "TIMEOUT", 0.5)
    tiny_data.patch_mirrors(monkeypatch.setattr, f"http://127.0.0.1:{address[1]}/")
    assert re.search(r"no answer within 0.5 s|timed out", fetch("MNIST", small).reason.en)


@both
def test_broken_torchvision_does_not_matter(name, small, genuine, mirror, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert fingerprint(LOADERS[name](root=small, source="real")) == genuine[name]


@pytest.mark.skipif(sys.platform == "win32", reason="flock is Unix's")
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_share_without_locks(error, small, genuine, mirror, monkeypatch, no_warnings):
    """With a lock file that a process left there long ago."""
    import fcntl

    def refuse(*_):
        raise OSError(getattr(errno, error), "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    small.mkdir()
    (small / ".MNIST.lock").write_text("12345\nanother-machine\n")
    assert fingerprint(load_mnist(root=small, source="real")) == genuine["MNIST"]


def test_download_of_another_process_is_not_waited_for_without_end(
    small, mirror, monkeypatch, capsys
):
    monkeypatch.setattr(downloads, "PATIENCE", (0.2, 0))
    monkeypatch.setattr(sources._paths, "_lock", lambda file: False)
    with pytest.raises(FileNotFoundError, match=r"another process(.|\n)*wait for that process"):
        load_mnist(root=small, source="real")
    assert "Another process" in capsys.readouterr().out
    assert mirror.gets == []


@both
@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO"])
def test_disk_that_fails_in_transfer_is_not_blamed_on_mirrors(
    name, error, small, mirror, monkeypatch, tmp_path
):
    """None but the first is asked, and nobody is told to connect to the network."""

    class FullDisk(io.FileIO):
        def write(self, content):
            raise OSError(getattr(errno, error), "the disk says no")

    def temporary_file(dir):
        return io.BufferedRandom(FullDisk(tmp_path / "temporary", "w+"))

    monkeypatch.setattr(downloads.tempfile, "TemporaryFile", temporary_file)
    with tiny_data.serve() as other:
        tiny_data.patch_mirrors(monkeypatch.setattr, mirror.url, other.url)
        with pytest.warns(StandInWarning) as caught:
            assert not LOADERS[name](root=small).is_real
    assert (len(mirror.gets), len(other.gets)) == (1, 0)
    text = str(caught[0].message)
    assert text.count("the disk says no") == 2  # once in each language
    assert "free some space" in text and "腾出空间" in text
    assert "connect to the network" not in text and "联网" not in text
    with pytest.raises(FileNotFoundError, match="free some space"):
        LOADERS[name](root=small, source="real")


def _file_in_the_way(folder, monkeypatch):
    folder.parent.mkdir(parents=True)
    folder.write_text("no folder")


def _dangling_link(folder, monkeypatch):
    folder.parent.mkdir(parents=True)
    folder.symlink_to(folder.parent / "nowhere" / "at all")


def _no_room(files):
    def fill(folder, monkeypatch):
        write, done = downloads.write_atomically, []

        def write_some(path, write_partial):
            done.append(path)
            if len(done) > files:
                raise OSError(errno.ENOSPC, "No space left on device")
            write(path, write_partial)

        monkeypatch.setattr(downloads, "write_atomically", write_some)

    return fill


OBSTACLES = {
    "file in the way": (_file_in_the_way, r"NotADirectory|FileExists"),
    "dangling link": (_dangling_link, r"NotADirectory|FileExists|FileNotFound"),
    "no room": (_no_room(0), "No space left"),
    "room for one file": (_no_room(1), "No space left"),
}
obstacles = pytest.mark.parametrize(("block", "why"), OBSTACLES.values(), ids=list(OBSTACLES))


@both
@obstacles
def test_download_that_cannot_be_kept_is_used(
    name, block, why, small, genuine, mirror, monkeypatch
):
    block(small / FIRST[name].partition("/")[0], monkeypatch)
    with pytest.warns() as caught:
        loaded = LOADERS[name](root=small)
    assert (loaded.source, loaded.is_real, fingerprint(loaded)) == (name, True, genuine[name])
    assert [w.category for w in caught] == [UnsavedDataWarning]
    assert caught[0].filename == __file__
    lines = str(caught[0].message).strip().splitlines()
    assert len(lines) == 6  # three in each language
    for text in ("\n".join(lines[:3]), "\n".join(lines[3:])):
        assert re.search(why, text)
        assert name in text and str(small) in text and "D2L_DATA" in text
    gets = len(mirror.gets)
    with pytest.warns(UnsavedDataWarning):
        found = fetch(name, small)
    assert (found.is_real, found.where) == (True, None) and name in str(found)
    assert len(mirror.gets) > gets
    assert not list(small.rglob("*.partial"))


def test_old_file_is_named_though_the_disk_fills_up(small, genuine, mirror, monkeypatch):
    """One damaged file is replaced before there is no more room for the other."""
    tiny_data.write_files("MNIST", small)
    first, last = (small / formats.MNIST_FILES[part] for part in ("x_train", "y_test"))
    for path in (first, last):
        _truncate(path)
    _no_room(1)(small, monkeypatch)
    with pytest.warns() as caught:
        assert fingerprint(load_mnist(root=small)) == genuine["MNIST"]
    assert [w.category for w in caught] == [DamagedDataWarning, UnsavedDataWarning]
    text = str(caught[0].message)
    assert text.count(f"{first.name}.kept") == 2 and f"{last.name}.kept" not in text


def _start(name, url, root):
    """A process of its own that is about to load a tiny data set."""
    return subprocess.Popen(
        [sys.executable, tiny_data.__file__, name, url, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(sources.__file__).parent.parent)},
    )


def _go(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def test_two_processes_share_one_download(small, genuine, mirror):
    mirror.delay = 0.2
    processes = [_start("MNIST", mirror.url, small) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        _go(process)
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        result = json.loads(out.splitlines()[-1])
        assert result == {"source": "MNIST", "fingerprint": genuine["MNIST"]}
    assert len(mirror.gets) == 4


def test_killed_download_is_started_afresh(small, genuine, mirror, monkeypatch):
    mirror.stall = True
    process = _start("CIFAR-10", mirror.url, small)
    assert process.stdout.readline() == "ready\n"
    _go(process)
    assert mirror.stalled.wait(60)
    process.kill()
    process.communicate(timeout=30)
    assert [path.name for path in small.rglob("*")] == [".CIFAR-10.lock"]
    mirror.stall = False
    mirror.resume.set()
    loaded = load_cifar10(root=small)
    assert (loaded.source, fingerprint(loaded)) == ("CIFAR-10", genuine["CIFAR-10"])


@pytest.mark.parametrize("moved", range(4))
@both
def test_interrupted_between_two_moves(name, moved, small, genuine, mirror, monkeypatch):
    replace, done = os.replace, []

    def stop_half_way(source, target):
        if len(done) == moved:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", stop_half_way)
        LOADERS[name](root=small)
    assert not list(small.rglob("*.partial"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fingerprint(LOADERS[name](root=small)) == genuine[name]


# ------------------------------------------------------------------------------ the stand-in


@both
def test_without_network_one_short_warning_in_both_languages(name, small):
    with pytest.warns() as caught:
        loaded = LOADERS[name](root=small)
        LOADERS[name](root=small)
    assert [w.category for w in caught] == [StandInWarning]
    lines = str(caught[0].message).strip().splitlines()
    assert len(lines) == 6  # three in each language
    for half in (lines[:3], lines[3:]):
        text = "\n".join(half)
        for words in (name, str(small), NPZ[name], "D2L_DATA", "python -m d2lhelpers data"):
            assert words in text
    assert caught[0].filename == __file__
    assert (loaded.is_real, loaded.source) == (False, f"synthetic stand-in for {name}")
    stand_in = sources.STAND_INS[name](train_size=TRAIN_SIZE, test_size=TEST_SIZE)
    assert loaded.classes == stand_in.classes
    assert np.array_equal(loaded.train.dataset.images, stand_in.train_images)
    assert np.array_equal(loaded.test.dataset.labels, stand_in.test_labels)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_warnings_obey_the_chosen_language(language, small, monkeypatch):
    monkeypatch.setenv("D2L_LANGUAGE", language)
    damaged = _raw(_empty)("MNIST", small)
    with pytest.warns() as caught:
        load_mnist(root=small)
    assert len(caught) == 2
    for warning in caught:
        text = str(warning.message).replace(str(damaged), "")
        assert text.isascii() == (language == "en")
    assert len(text.strip().splitlines()) == 3


@both
def test_real_refuses_the_stand_in(name, small):
    with pytest.raises(FileNotFoundError) as error:
        LOADERS[name](root=small, source="real")
    message = str(error.value)
    for words in (name, str(small), NPZ[name], REFUSED, "D2L_DATA", "source='auto'"):
        assert words in message


@both
def test_synthetic_looks_nowhere_and_is_silent(name, small, mirror, no_warnings):
    tiny_data.write_files(name, small)
    loaded = LOADERS[name](root=small, source="synthetic")
    assert (loaded.is_real, loaded.source) == (False, f"synthetic stand-in for {name}")
    assert mirror.gets == []


def test_fetch_without_network(small, no_warnings, capsys):
    found = fetch("MNIST", small)
    assert capsys.readouterr().out == ""  # nothing is downloading
    assert (found.name, found.is_real, found.where) == ("MNIST", False, None)
    assert found.source == "synthetic stand-in for MNIST"
    assert REFUSED in found.reason.zh and REFUSED in found.reason.en
    chinese, english = str(found).splitlines()
    assert found.reason.zh in chinese and found.reason.en in english
    with pytest.raises(ValueError, match=r"'Cifar'.*MNIST, CIFAR-10"):
        fetch("Cifar")


# ------------------------------------------------------------------------------ the real thing


def _on_disk(*names):
    return any((sources.data_root() / name).exists() for name in names)


def test_real_mnist():
    if not _on_disk("MNIST/raw/train-images-idx3-ubyte", "mnist.npz"):
        pytest.skip("MNIST is not on disk")
    loaded = load_mnist(source="real")
    assert (loaded.source, loaded.is_real) == ("MNIST", True)
    assert (len(loaded.train.dataset), len(loaded.test.dataset)) == (60_000, 10_000)
    # The numbers that everybody uses: https://github.com/pytorch/examples/blob/main/mnist/main.py
    assert loaded.mean.item() == pytest.approx(0.1307, abs=5e-5)
    assert loaded.std.item() == pytest.approx(0.3081, abs=5e-5)
    assert loaded.test.dataset.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_real_cifar10():
    if not _on_disk("cifar-10-batches-py", "cifar10.npz"):
        pytest.skip("CIFAR-10 is not on disk")
    loaded = load_cifar10(source="real", test_size=1000, validation_size=5000)
    assert loaded.source.startswith("CIFAR-10") and loaded.is_real
    assert len(loaded.train.dataset) == 45_000
    assert loaded.mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-3)
    labels = torch.cat([loaded.train.dataset.labels, loaded.validation.dataset.labels])
    assert labels.bincount().tolist() == [5000] * 10
