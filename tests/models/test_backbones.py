from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from purify.errors import InputError
from purify.models.backbones import backbone_layout, build_backbone, identify_backbone, load_backbone_weights

BLOCKS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
}
#: Parameters in millions as published for these networks at 112 px and 512 dimensions.
PUBLISHED = {"iresnet18": 24.03, "iresnet34": 34.14, "iresnet50": 43.59, "iresnet100": 65.16}


def _insightface_layout(blocks: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of InsightFace's PyTorch iresnet, written out by its rules."""
    layout: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 3, 3), "prelu.weight": (64,)}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            layout[f"{name}.{part}"] = (width,)
        layout[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    width = 64
    for stage, (planes, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=1):
        for i in range(count):
            prefix = f"layer{stage}.{i}"
            norm(f"{prefix}.bn1", width)
            layout[f"{prefix}.conv1.weight"] = (planes, width, 3, 3)
            norm(f"{prefix}.bn2", planes)
            layout[f"{prefix}.prelu.weight"] = (planes,)
            layout[f"{prefix}.conv2.weight"] = (planes, planes, 3, 3)
            norm(f"{prefix}.bn3", planes)
            if i == 0:
                layout[f"{prefix}.downsample.0.weight"] = (planes, width, 1, 1)
                norm(f"{prefix}.downsample.1", planes)
            width = planes
    norm("bn2", 512)
    layout["fc.weight"], layout["fc.bias"] = (512, 512 * 7 * 7), (512,)
    norm("features", 512)
    return layout


@pytest.mark.parametrize("name", BLOCKS)
def test_names_shapes_and_counts_are_insightfaces(name: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, embedding_dim=512, input_size=112)
    assert {key: tuple(tensor.shape) for key, tensor in backbone.state_dict().items()} == _insightface_layout(
        BLOCKS[name]
    )
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert count / 1e6 == pytest.approx(PUBLISHED[name], abs=0.01)


def _forward_by_hand(state: dict[str, torch.Tensor], x: torch.Tensor, blocks: tuple[int, ...]) -> torch.Tensor:
    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts, training=False, eps=1e-5)

    x = F.prelu(norm(F.conv2d(x, state["conv1.weight"], padding=1), "bn1"), state["prelu.weight"])
    for stage, count in enumerate(blocks, start=1):
        for i in range(count):
            p, stride = f"layer{stage}.{i}", 2 if i == 0 else 1
            y = F.conv2d(norm(x, f"{p}.bn1"), state[f"{p}.conv1.weight"], padding=1)
            y = F.prelu(norm(y, f"{p}.bn2"), state[f"{p}.prelu.weight"])
            y = norm(F.conv2d(y, state[f"{p}.conv2.weight"], stride=stride, padding=1), f"{p}.bn3")
            if i == 0:
                x = norm(F.conv2d(x, state[f"{p}.downsample.0.weight"], stride=2), f"{p}.downsample.1")
            x = x + y
    x = F.linear(torch.flatten(norm(x, "bn2"), 1), state["fc.weight"], state["fc.bias"])
    return norm(x, "features")


@pytest.mark.parametrize(("name", "blocks"), [("iresnet18", (2, 2, 2, 2)), ("iresnet_small", (1, 1, 1, 1))])
def test_forward_equals_the_architecture_by_hand(name: str, blocks: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, embedding_dim=32, input_size=48)
    for module in backbone.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    x = torch.rand(2, 3, 48, 48) * 2 - 1
    with torch.no_grad():
        expected = _forward_by_hand(backbone.state_dict(), x, blocks)
        got = backbone.eval()(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_an_insightface_state_dict_of_iresnet50_gives_its_embeddings(tmp_path: Path) -> None:
    """Names, shapes and forward are written out here; only the file is shared with the code under test."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in _insightface_layout(BLOCKS["iresnet50"]).items():
        numbers = torch.randn(shape, generator=generator)
        if name.endswith(("conv1.weight", "conv2.weight", "downsample.0.weight")):
            numbers *= (2 / numbers[0].numel()) ** 0.5
        elif name == "fc.weight":
            numbers *= shape[1] ** -0.5
        elif name.endswith(("running_var", "prelu.weight")) or (name.endswith("weight") and numbers.ndim == 1):
            numbers = 0.5 + 0.1 * numbers.clamp(-3, 3)
        elif name.endswith("num_batches_tracked"):
            numbers = torch.tensor(7)
        else:
            numbers *= 0.1
        state[name] = numbers
    torch.save(state, tmp_path / "backbone.pth")
    backbone = build_backbone("iresnet50", embedding_dim=512, input_size=112).eval()
    load_backbone_weights(backbone, tmp_path / "backbone.pth")
    x = torch.rand(2, 3, 112, 112, generator=generator) * 2 - 1
    with torch.no_grad():
        expected, got = _forward_by_hand(state, x, BLOCKS["iresnet50"]), backbone(x)
    assert got.shape == (2, 512)
    assert got.std() > 0.01
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(F.cosine_similarity(got, expected), torch.ones(2))


@pytest.mark.parametrize("name", ["iresnet_small", "mobilefacenet", "iresnet18"])
@pytest.mark.parametrize("size", [48, 64, 112])
def test_all_sizes_give_embeddings(name: str, size: int) -> None:
    backbone = build_backbone(name, embedding_dim=24, input_size=size).eval()
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, size, size)).shape == (2, 24)


@pytest.mark.parametrize("name", ["iresnet34", "iresnet50"])
def test_deep_ones_give_embeddings(name: str) -> None:
    backbone = build_backbone(name, embedding_dim=24, input_size=64).eval()
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, 24)


@pytest.mark.parametrize(("size", "side"), [(48, 3), (50, 4), (96, 6), (97, 7), (112, 7), (113, 8)])
def test_the_last_layer_fits_the_input_size(size: int, side: int) -> None:
    assert backbone_layout("iresnet18", embedding_dim=8, input_size=size)["fc.weight"].shape == (8, 512 * side * side)


def test_the_last_layer_is_float32_under_autocast() -> None:
    backbone = build_backbone("iresnet_small", embedding_dim=8, input_size=32).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert backbone(torch.zeros(1, 3, 32, 32)).dtype == torch.float32


def test_convolutions_start_at_insightfaces_spread() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("iresnet_small", embedding_dim=8, input_size=32)
    for module in backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert module.weight.std().item() == pytest.approx(0.1, rel=0.2)


def test_the_last_normalization_has_no_free_gain() -> None:
    backbone = build_backbone("iresnet_small", embedding_dim=8, input_size=32)
    assert not backbone.get_parameter("features.weight").requires_grad


def test_unknown_backbone_is_refused() -> None:
    with pytest.raises(InputError, match="iresnet50"):
        build_backbone("resnet", embedding_dim=8, input_size=32)


@pytest.fixture
def small() -> torch.nn.Module:
    torch.manual_seed(1)
    return build_backbone("iresnet_small", embedding_dim=8, input_size=32)


FORMS = ["plain.pth", "module.pth", "state_dict.pth", "insightface.pt", "plain.safetensors", "ours.safetensors"]


@pytest.mark.parametrize("form", FORMS)
def test_weights_load_from_every_form(small: torch.nn.Module, tmp_path: Path, form: str) -> None:
    state, path = small.state_dict(), tmp_path / form
    match form:
        case "plain.pth":
            torch.save(state, path)
        case "module.pth":
            torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
        case "insightface.pt":
            head = {"weight": torch.zeros(5, 8)}
            torch.save({"epoch": 3, "state_dict_backbone": state, "state_dict_softmax_fc": head}, path)
        case "state_dict.pth":
            torch.save({"state_dict": state, "epoch": 3}, path)
        case "plain.safetensors":
            save_file(state, path)
        case "ours.safetensors":
            save_file({**{f"backbone.{n}": t for n, t in state.items()}, "head.weight": torch.zeros(2, 1, 8)}, path)
    other = build_backbone("iresnet_small", embedding_dim=8, input_size=32)
    load_backbone_weights(other, path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())


def test_batch_counters_may_be_missing(small: torch.nn.Module, tmp_path: Path) -> None:
    state = small.state_dict()
    torch.save({n: t for n, t in state.items() if "num_batches" not in n}, tmp_path / "old.pth")
    other = build_backbone("iresnet_small", embedding_dim=8, input_size=32)
    load_backbone_weights(other, tmp_path / "old.pth")
    assert all(torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())


def test_weights_of_another_shape_are_refused_with_names(small: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(build_backbone("iresnet_small", embedding_dim=16, input_size=48).state_dict(), tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"b\.pth.*of another shape.*fc\.weight.*model\.input_size"):
        load_backbone_weights(small, tmp_path / "b.pth")
    torch.save({"conv1.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "c.pth")
    with pytest.raises(InputError, match="missing"):
        load_backbone_weights(small, tmp_path / "c.pth")


@pytest.mark.parametrize(
    ("name", "size"), [("iresnet_small", 48), ("iresnet18", 112), ("iresnet100", 112), ("mobilefacenet", 64)]
)
def test_weights_name_the_backbone_that_they_fit(name: str, size: int) -> None:
    layout = backbone_layout(name, embedding_dim=40, input_size=size)
    assert identify_backbone(layout) == (name, 40, size)
    assert identify_backbone({n: t for n, t in layout.items() if "num_batches" not in n}) == (name, 40, size)
    assert identify_backbone({n: t for n, t in layout.items() if n != "fc.weight"}) is None
    assert identify_backbone({**layout, "more": torch.zeros(1)}) is None


def test_refused_weights_come_with_the_settings_that_fit(small: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(build_backbone("iresnet18", embedding_dim=16, input_size=48).state_dict(), tmp_path / "r18.pth")
    fit = r"model\.backbone=iresnet18, model\.embedding_dim=16, model\.input_size=48"
    with pytest.raises(InputError, match=rf"r18\.pth.*72 unknown.*of another shape \(such as conv1\.weight.*{fit}"):
        load_backbone_weights(small, tmp_path / "r18.pth")
    foreign = {"stem.weight": torch.zeros(3), "fc.weight": torch.zeros(2, 3), "pool.0.weight": torch.zeros(())}
    torch.save(foreign, tmp_path / "foreign.pth")
    with pytest.raises(InputError, match="they fit none of iresnet_small, "):
        load_backbone_weights(small, tmp_path / "foreign.pth")


class _Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("form", ["archive", "pickle", "pickle0"])
def test_a_pickle_that_executes_is_not_executed(small: torch.nn.Module, tmp_path: Path, form: str) -> None:
    path, evil = tmp_path / "evil.pth", _Evil(tmp_path / "owned")
    if form == "archive":
        torch.save({"state_dict": evil}, path)
    else:
        path.write_bytes(pickle.dumps(evil, protocol=0 if form == "pickle0" else 2))
    with pytest.raises(InputError, match=r"evil\.pth.*never executed.*state dict") as caught:
        load_backbone_weights(small, path)
    assert not (tmp_path / "owned").exists()
    assert "weights_only" not in str(caught.value)  # PyTorch advises to switch the protection off


@pytest.mark.parametrize("content", [[1], {1: torch.zeros(1)}, {"conv1.weight": 3}, {"state_dict": {"x": "y"}}])
def test_what_is_no_state_dict_is_refused(small: torch.nn.Module, tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"x\.pth: not a state dict"):
        load_backbone_weights(small, tmp_path / "x.pth")


def test_damage_anywhere_is_a_clear_error(tmp_path: Path) -> None:
    state = {"conv1.weight": torch.zeros(16, 3, 3, 3)}
    torch.save(state, tmp_path / "good.pth")
    save_file(state, tmp_path / "good.safetensors")
    rng = np.random.default_rng(0)
    model = torch.nn.Linear(1, 1)
    for suffix in (".pth", ".safetensors"):
        content = np.frombuffer((tmp_path / f"good{suffix}").read_bytes(), np.uint8)
        for i in range(60):
            spoiled = content.copy()
            spoiled[rng.integers(len(content), size=8)] = rng.integers(256, size=8, dtype=np.uint8)
            path = tmp_path / f"bad{suffix}"
            path.write_bytes(spoiled[: rng.integers(len(content)) if i % 2 else None].tobytes())
            with pytest.raises(InputError, match=r"bad\."):
                load_backbone_weights(model, path)


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_damaged_weights_are_refused(small: torch.nn.Module, tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        load_backbone_weights(small, path)
