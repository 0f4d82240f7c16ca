"""`d2lhelpers.sources`: data from everywhere, and that no misfortune gives wrong data."""

import gzip
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import fixtures_http as tiny_data
import numpy as np
import pytest
import torch
from fixtures_http import LOADERS, TEST_SIZE, TRAIN_SIZE, fingerprint, nchw, tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d2lhelpers import sources
from d2lhelpers.data import load_cifar10, load_mnist
from d2lhelpers.sources import DamagedDataWarning, StandInWarning, fetch

# What the system says of a port where nobody listens.
REFUSED = "actively refused" if sys.platform == "win32" else "Connection refused"
NPZ = {"MNIST": "mnist.npz", "CIFAR-10": "cifar10.npz"}
both = pytest.mark.parametrize("name", LOADERS)


@pytest.fixture
def mirror(small, monkeypatch):
    """A server that torchvision downloads the tiny data sets from."""
    with tiny_data.serve() as mirror:
        tiny_data.patch_torchvision(monkeypatch.setattr, mirror.url)
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
    # Neither the slow import nor a lock or download has a place here.
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "filelock", None)
    loaded = LOADERS[name](root=small)
    assert fingerprint(loaded) == genuine[name]
    assert (loaded.source, loaded.is_real) == (words, True)
    assert loaded.classes[3] == ("3" if name == "MNIST" else "cat")
    parts = tiny(name)
    assert np.array_equal(loaded.train.dataset.images, nchw(parts["x_train"]))
    assert np.array_equal(loaded.test.dataset.labels, parts["y_test"])
    found = fetch(name, small)
    assert (found.is_real, found.source, found.reason) == (True, words, "")
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
    monkeypatch.setattr(sources, "CIFAR10_JPEG_SHA256", mark)
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
    monkeypatch.setitem(sys.modules, "filelock", None)
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
    with pytest.warns(StandInWarning, match="NotADirectoryError"):
        assert not LOADERS[name](root=root).is_real
    with pytest.raises(FileNotFoundError, match="NotADirectoryError"):
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
    "MNIST truncated": ("MNIST", _raw(_truncate), "cannot reshape"),
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
    chinese, english = str(caught[0].message).strip().splitlines()
    assert str(path) in chinese and "已损坏" in chinese
    assert str(path) in english
    assert re.search(what, english)
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
    assert len(mirror.gets) == (4 if name == "MNIST" else 1)
    assert damaged.read_bytes() == tiny_data.files(name)[str(damaged.relative_to(small))]


def test_fetch_names_every_damaged_file(small):
    damaged = [_raw(_flip_a_bit)("MNIST", small), _npz(_truncate)("MNIST", small)]
    with pytest.warns() as caught:
        found = fetch("MNIST", small)
    assert [w.category for w in caught] == [DamagedDataWarning] * 2
    for path, warning in zip(damaged, caught, strict=True):
        assert str(path) in str(warning.message) and str(path) in found.reason
        assert warning.filename == __file__


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["MNIST", "CIFAR-10"]), st.data())
def test_any_altered_byte_is_noticed(small, name, data_):
    """Every byte of torchvision's layout counts; in a zip archive a few don't, and do no harm."""
    tiny_data.write_files(name, small)
    write_npz(name, small, compressed=data_.draw(st.booleans(), label="compressed"))
    data_set = sources.DATA_SETS[name]
    in_npz = data_.draw(st.booleans(), label="npz")
    read = data_set.readers[in_npz]
    intact = read(data_set, small)[0]
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
        altered = read(data_set, small)[0]
    except sources._Damaged as damage:
        assert damage.path == path
    else:
        assert in_npz or path.name == "batches.meta"
        assert all(np.array_equal(a, b) for a, b in zip(altered[:4], intact[:4], strict=True))


def test_incomplete_layout_is_no_data(small, no_warnings):
    tiny_data.write_files("MNIST", small)
    (small / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    found = fetch("MNIST", small)
    assert not found.is_real and "download failed" in found.reason


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
def test_torchvision_accepts_what_was_stored(name, small, mirror):
    from torchvision import datasets

    assert fetch(name, small).is_real
    theirs = datasets.MNIST if name == "MNIST" else datasets.CIFAR10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy, about pickles written by Python 2
        assert np.array_equal(theirs(small, train=False).data, tiny(name)["x_test"])


def _not_found(mirror):
    mirror.contents.clear()


def _truncated(mirror):
    mirror.contents = {path: content[:-20] for path, content in mirror.contents.items()}


def _tampered(mirror):
    for path, content in mirror.contents.items():
        other = bytearray(content)
        other[len(other) // 2] ^= 1
        mirror.contents[path] = bytes(other)


def _silent(mirror):
    mirror.silent = True


def _stalling(mirror):
    mirror.stall = True


MISFORTUNES = {
    "404": (_not_found, "404"),
    "truncated": (_truncated, "corrupted"),
    "tampered": (_tampered, "corrupted"),
    "silent": (_silent, "no answer within 0.3 s|timed out"),
    "stalling": (_stalling, "timed out"),
}


@both
@pytest.mark.parametrize(("spoil", "why"), MISFORTUNES.values(), ids=MISFORTUNES)
def test_failed_download_leaves_nothing_behind(
    name, spoil, why, small, genuine, mirror, monkeypatch
):
    if spoil in (_silent, _stalling):
        monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    spoil(mirror)
    with pytest.raises(FileNotFoundError, match=why):
        LOADERS[name](root=small, source="real")
    with pytest.warns(StandInWarning, match=why):
        assert not LOADERS[name](root=small).is_real
    assert [path for path in small.rglob("*") if path.name != f".{name}.lock"] == []
    assert socket.getdefaulttimeout() is None
    monkeypatch.setattr(sources, "TIMEOUT", 10)
    with tiny_data.serve() as better:
        tiny_data.patch_torchvision(monkeypatch.setattr, better.url)
        assert fingerprint(LOADERS[name](root=small)) == genuine[name]


def test_archive_that_passes_md5_is_still_checked(small, mirror, monkeypatch):
    """Should a mirror and torchvision's list agree on other data, ours does not."""
    monkeypatch.setitem(sources.MNIST_SHA256, "x_train", "0" * 64)
    found = fetch("MNIST", small)
    assert not found.is_real and "published checksum" in found.reason
    assert [path for path in small.rglob("*") if path.name != ".MNIST.lock"] == []


def test_dead_mirror_is_passed_over(small, genuine, mirror, monkeypatch):
    from torchvision.datasets import MNIST

    dead = MNIST.mirrors[0].replace(mirror.url.rstrip("/"), "http://127.0.0.1:9")
    monkeypatch.setattr(MNIST, "mirrors", [dead, mirror.url])
    assert fingerprint(load_mnist(root=small, source="real")) == genuine["MNIST"]


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
    assert mirror.stalled.wait(30)
    deadline = time.monotonic() + 10
    while not list(small.glob(".CIFAR-10-download-*/*.gz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=30)
    assert list(small.glob(".CIFAR-10-download-*/*.gz"))
    assert not (small / "cifar-10-batches-py").exists()
    mirror.stall = False
    mirror.resume.set()
    loaded = load_cifar10(root=small)
    assert (loaded.source, fingerprint(loaded)) == ("CIFAR-10", genuine["CIFAR-10"])
    assert not list(small.glob(".CIFAR-10-download-*"))


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
    assert not list(small.glob(".*-download-*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fingerprint(LOADERS[name](root=small)) == genuine[name]


# ------------------------------------------------------------------------------ the stand-in


@both
def test_without_network_one_bilingual_warning(name, small):
    with pytest.warns() as caught:
        loaded = LOADERS[name](root=small)
        LOADERS[name](root=small)
    assert [w.category for w in caught] == [StandInWarning]
    text = str(caught[0].message)
    chinese, english = (
        text[: text.index(f"\n{name} was not")],
        text[text.index(f"\n{name} was not") :],
    )
    for half in (chinese, english):
        assert REFUSED in half and "D2L_DATA" in half and str(small) in half
    assert "原因" in chinese and "解决办法" in chinese
    assert "Why" in english and "What to do" in english
    assert caught[0].filename == __file__
    assert (loaded.is_real, loaded.source) == (False, f"synthetic stand-in for {name}")
    stand_in = sources.DATA_SETS[name].stand_in(train_size=TRAIN_SIZE, test_size=TEST_SIZE)
    assert loaded.classes == stand_in.classes
    assert np.array_equal(loaded.train.dataset.images, stand_in.train_images)
    assert np.array_equal(loaded.test.dataset.labels, stand_in.test_labels)


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


def test_fetch_without_network(small, no_warnings):
    found = fetch("MNIST", small)
    assert (found.name, found.is_real, found.where) == ("MNIST", False, None)
    assert found.source == "synthetic stand-in for MNIST"
    assert REFUSED in found.reason
    chinese, english = str(found).splitlines()
    assert "没有真实数据" in chinese and "no real data" in english
    assert found.reason in chinese and found.reason in english
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
