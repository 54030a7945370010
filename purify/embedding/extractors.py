"""Extractors: our checkpoints, ONNX files, external weights, and dlib's network."""

from __future__ import annotations

from pathlib import Path

from purify.config import ExtractorConfig
from purify.embedding.backbone import Extractor, PixelExtractor
from purify.errors import InputError
from purify.models.backbones import BACKBONES, build_backbone, identify_backbone, load_backbone_weights
from purify.models.checkpoint import FILE_NAME, Checkpoint, load_checkpoint
from purify.models.heads import SubcenterHead
from purify.models.precision import Precision
from purify.models.state_dicts import read_state_dict


def model_file(model: Path) -> Path:
    """The weights file of a checkpoint's folder, or `model` itself."""
    return model / FILE_NAME if model.is_dir() else model


def open_extractor(
    model: Path, config: ExtractorConfig, *, precision: Precision, flip: bool, lengths: bool = False
) -> PixelExtractor:
    """Open a checkpoint's folder, an ONNX file, or weights (safetensors, ``.pth``, dlib's ``.dat``) for embedding.

    With `lengths`, embeddings keep their lengths (dlib's always do). InputError if it is none of them.
    """
    if model.suffix == ".onnx":
        from purify.embedding.onnx import OnnxExtractor

        return OnnxExtractor(model, config, flip=flip, lengths=lengths)
    if model.suffix == ".dat":
        from purify.embedding.dlib_extractor import DlibExtractor

        return DlibExtractor(model, flip=flip)
    checkpoint = open_network(model, config.input_size)
    return Extractor(checkpoint, precision=precision, flip=flip, lengths=lengths)


def open_network(model: Path, input_size: int | None = None) -> Checkpoint:
    """A checkpoint's folder, or weights (safetensors, ``.pth``) of a known backbone, then without labels.

    `input_size` in pixels is for weights alone; None: the largest that fits. InputError if it is none of them.
    """
    if model.is_dir():
        return load_checkpoint(model)
    return _without_head(model, input_size)


def _without_head(path: Path, input_size: int | None) -> Checkpoint:
    """Weights of a backbone as a checkpoint without labels."""
    found = identify_backbone(read_state_dict(path))
    if found is None:
        raise InputError(f"{path}: these weights fit none of {', '.join(BACKBONES)}; export the model to ONNX")
    name, dim, largest = found
    size = input_size or largest
    backbone = build_backbone(name, embedding_dim=dim, input_size=size)
    load_backbone_weights(backbone, path)
    head = SubcenterHead(0, dim)
    return Checkpoint.of(backbone, head, backbone_name=name, input_size=size, labels=(), extra={})
