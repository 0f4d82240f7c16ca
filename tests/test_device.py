"""Choosing a device on machines that this one is not: torch's answers are replaced."""

import contextlib
import re
import sys
import types
import warnings

import pytest
import torch

import d2lhelpers as d2l
from d2lhelpers import device, precision
from d2lhelpers._paths import project_folder
from d2lhelpers.device import describe, device_report, has_bfloat16, try_all_gpus, try_gpu

CPU, MPS = torch.device("cpu"), torch.device("mps")
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version."
)
NO_DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU."


@pytest.fixture(autouse=True)
def fresh_process():
    """Forget what an earlier test made the module believe about this machine."""
    cached = (device._no_cuda, device._kernel_error, device._warn_once)
    real = [function.cache_clear for function in cached]
    for clear in real:
        clear()
    yield
    for clear in real:
        clear()


@pytest.fixture
def machine(monkeypatch):
    """Gives a function that dresses torch up as another machine's."""

    def dress(*, built=True, gpus=0, mps=False, warning=None, error=NO_DRIVER, broken=()):
        def is_available():
            if warning:
                warnings.warn(f"CUDA initialization: {warning}", stacklevel=2)
            return gpus > 0

        def init():
            raise RuntimeError(error)

        kernel_error = {i: "CUDA error: no kernel image is available" for i in broken}
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "is_available", is_available)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda i=0: "Big GPU")
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda i: types.SimpleNamespace(name="Big GPU", total_memory=24 * 2**30),
        )
        monkeypatch.setattr(torch.cuda, "device", lambda d: contextlib.nullcontext())
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
        )
        monkeypatch.setattr(device, "_kernel_error", lambda i: kernel_error.get(i, ""))

    return dress


def silent(function, *arguments):
    """Call ``function``; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*arguments)


def report_in(language):
    d2l.use_language(language)
    try:
        return silent(device_report)
    finally:
        d2l.use_language(None)


def test_the_report_is_in_both_languages_or_in_one(machine):
    for dress in ({}, {"gpus": 1}, {"gpus": 1, "broken": [0]}, {"error": TOO_OLD}, {"mps": True}):
        device._no_cuda.cache_clear()
        machine(**dress)
        zh, en = report_in("zh"), report_in("en")
        assert silent(device_report) == f"{zh}\n{en}"
        assert "设备：" in zh and "Device:" in en
        assert not any("\u4e00" <= character <= "\u9fff" for character in en)


def test_a_fault_is_warned_of_in_both_languages(machine):
    machine(gpus=1, broken=[0])
    with pytest.warns(UserWarning, match="Not using a GPU") as caught:
        try_gpu()
    assert "没有用 GPU" in str(caught[0].message)


def test_two_gpus(machine):
    machine(gpus=2)
    assert silent(try_gpu) == torch.device("cuda", 0)
    assert silent(try_gpu, 1) == torch.device("cuda", 1)
    assert silent(try_gpu, 2) == CPU
    assert try_all_gpus() == [torch.device("cuda", 0), torch.device("cuda", 1)]
    report = device_report()
    assert "Big GPU with 24 GiB of memory" in report and "cuda:0" in report
    assert torch.__version__ in report
    assert "none in use" not in report


def test_apple(machine):
    machine(built=False, mps=True)
    assert silent(try_gpu) == MPS
    assert silent(try_gpu, 1) == CPU
    assert try_all_gpus() == [MPS]
    assert "Apple GPU" in device_report()
    assert "none in use" not in device_report()


def test_build_without_cuda(machine):
    machine(built=False)
    assert silent(try_gpu) == CPU
    assert try_all_gpus() == [CPU]
    report = device_report()
    assert f"CPU with {torch.get_num_threads()} thread" in report
    assert "built without CUDA" in report and "https://pytorch.org/get-started" in report
    assert "otherwise all is well" in report


def test_cuda_build_without_a_driver(machine):
    machine()
    assert silent(try_gpu) == CPU
    assert silent(try_all_gpus) == [CPU]
    report = silent(device_report)
    assert "no NVIDIA driver was found" in report and "otherwise all is well" in report


def test_driver_without_a_gpu(machine):
    machine(error="No CUDA GPUs are available")
    assert silent(try_gpu) == CPU
    assert "shows no GPU" in device_report() and "CUDA_VISIBLE_DEVICES" in device_report()


def test_driver_too_old_warns_once_and_says_what_to_do(machine):
    machine(warning=TOO_OLD, error=TOO_OLD)
    with pytest.warns(UserWarning, match=r"too old \(found version 11040\)\. Update") as caught:
        assert try_gpu() == CPU
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert silent(try_gpu) == CPU
    assert silent(try_all_gpus) == [CPU]


def test_report_on_a_driver_that_is_too_old(machine):
    machine(warning=TOO_OLD, error=TOO_OLD)
    report = silent(device_report)
    assert "too old (found version 11040)" in report
    assert "https://www.nvidia.com/drivers" in report
    assert "otherwise all is well" not in report
    with pytest.warns(UserWarning, match="too old"):
        try_gpu()


def test_driver_too_old_although_torch_has_warned_before(machine):
    """torch warns on the first question only; the cause must be known all the same."""
    machine(warning=None, error=TOO_OLD)
    assert "too old (found version 11040)" in device_report()


def test_text_of_a_warning_is_tidied():
    raw = "CUDA initialization: Bad. (Triggered internally at /x/CUDAFunctions.cpp:119.)\n  more"
    assert device._tidy(UserWarning(raw)) == "Bad."


def test_gpu_that_cannot_compute(machine):
    machine(gpus=2, broken=[0])
    with pytest.warns(UserWarning, match=r"Big GPU fails on a first computation.*no kernel image"):
        assert try_gpu() == CPU
    assert silent(try_gpu, 1) == torch.device("cuda", 1)
    assert try_all_gpus() == [torch.device("cuda", 1)]
    assert "no kernel image" in " ".join(device_report().split())


def test_kernel_error_reads_torchs_message(monkeypatch):
    def fail(*size, **options):
        raise RuntimeError("CUDA error: out of memory\nCompile with ...")

    monkeypatch.setattr(torch, "ones", fail)
    assert device._kernel_error(0) == "CUDA error: out of memory"


@pytest.mark.parametrize("i", [-1, -100])
def test_negative_number(i):
    with pytest.raises(ValueError, match=f"got {i}"):
        try_gpu(i)


@pytest.mark.parametrize("i", [0.0, "0", None, True])
def test_number_that_is_no_int(i):
    with pytest.raises(TypeError, match="an int"):
        try_gpu(i)


def test_this_machine():
    """Whatever it is: the device computes, and the report names it."""
    chosen = try_gpu()
    assert torch.ones(2, device=chosen).sum().item() == 2
    assert f"torch.device('{chosen}')" in device_report()
    assert try_all_gpus()[0] == chosen
    assert describe(chosen) in device_report()


# --- bfloat16 ---------------------------------------------------------------------------------


def test_bfloat16_on_cuda_does_not_count_emulation(machine, monkeypatch):
    machine(gpus=1)
    assert not has_bfloat16("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert has_bfloat16(torch.device("cuda"))
    assert "fast here" in device_report()


def test_no_bfloat16_on_mps():
    assert not has_bfloat16("mps")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_f": True}, False),
        ({"avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"architecture": "arm64", "bf16": True}, True),
    ],
)
def test_bfloat16_on_cpus(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(precision, "_onednn_takes_bfloat16", lambda: True)
    assert has_bfloat16("cpu") is expected
    assert ("no gain" in device_report()) is (device._best(0) == CPU and not expected)


def test_no_bfloat16_where_onednn_does_not_take_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(precision, "_onednn_takes_bfloat16", lambda: False)
    assert not has_bfloat16("cpu")


@pytest.mark.parametrize("supported", [True, False])
def test_bfloat16_on_cpus_with_an_older_torch(monkeypatch, supported):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(precision, "_onednn_takes_bfloat16", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported, raising=False)
    assert has_bfloat16("cpu") is supported
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not has_bfloat16("cpu")


def test_colab_without_a_gpu_is_told_how_long_it_takes(machine, monkeypatch):
    machine()
    assert "Runtime" not in silent(device_report)
    monkeypatch.setitem(sys.modules, "google.colab", object())
    report = silent(device_report)
    assert '"Change runtime type"' in report and "更改运行时类型" in report
    readme = (project_folder() / "README.md").read_text(encoding="utf-8")
    for times in (r"完整运行一章，(.+)。", r"A full run takes (.+)\."):
        assert re.search(times, readme)[1] in " ".join(report.split())


def test_colab_with_a_gpu_is_told_nothing_of_the_kind(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    machine(built=False, mps=True)
    assert "runtime type" not in device_report()
