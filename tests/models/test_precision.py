from __future__ import annotations

import pytest
import torch

from purify.errors import InputError
from purify.models.precision import DEVICE_SWITCH, default_device, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("backbone", "amx", "avx512", "expected"),
    [
        ("iresnet_small", True, True, torch.bfloat16),
        ("iresnet_small", False, True, torch.float32),
        ("mobilefacenet", False, True, torch.float32),
        ("iresnet50", False, True, torch.bfloat16),
        ("iresnet50", False, False, torch.float32),
    ],
)
def test_auto_on_a_cpu_is_bfloat16_where_the_hardware_makes_it_faster(
    backbone: str, amx: bool, avx512: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert resolve_precision("auto", CPU, backbone=backbone) is expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "float64"])
def test_what_is_asked_for_is_taken(precision: str) -> None:
    assert resolve_precision(precision, CPU, backbone="iresnet50") is getattr(torch, precision)  # type: ignore[arg-type]


def test_the_switch_names_the_device_and_a_missing_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    best = default_device()
    monkeypatch.setenv(DEVICE_SWITCH, "auto")
    assert default_device() == best
    monkeypatch.setenv(DEVICE_SWITCH, "cpu")
    assert default_device() == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "gpu"):
        monkeypatch.setenv(DEVICE_SWITCH, name)
        with pytest.raises(InputError, match=f"{DEVICE_SWITCH}={name}: .*set it to auto, cuda, mps, cpu"):
            default_device()
