"""Where bfloat16 is a gain."""

from __future__ import annotations

import torch

__all__ = ["has_bfloat16"]


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether mixed precision with bfloat16 is a gain on ``device``.

    True on CUDA devices that compute in bfloat16 (NVIDIA from compute capability 8.0, Ampere,
    on; emulation does not count) and on CPUs whose instruction set multiplies bfloat16 numbers
    (AVX512-BF16, AMX-BF16, Arm BF16), where PyTorch was built to use it. Other CPUs accept
    bfloat16 as well but convert back and forth, which costs time. False on Apple's MPS.
    """
    device = torch.device(device)
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return _cpu_multiplies_bfloat16()
    return False


def _cpu_multiplies_bfloat16() -> bool:
    if not _onednn_takes_bfloat16():
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    # Before PyTorch had the public function.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _onednn_takes_bfloat16() -> bool:
    """Whether the library behind PyTorch's convolutions on the CPU has bfloat16 kernels here."""
    is_built = torch.backends.mkldnn.is_available()
    return is_built and torch.ops.mkldnn._is_mkldnn_bf16_supported()
