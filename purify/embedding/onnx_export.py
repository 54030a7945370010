"""A checkpoint's backbone as an ONNX file, which `purify.embedding.onnx` and others run (the extra ``onnx``)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from purify.embedding.onnx import METADATA_KEY
from purify.errors import InputError, PurifyError
from purify.faces.onnx_session import open_session, quiet_onnxruntime
from purify.models.checkpoint import Checkpoint, load_checkpoint
from purify.storage.files import atomic_path

#: Version of the operators; ONNX Runtime has known it since 1.15 (2023).
_OPSET = 17
_INPUT, _OUTPUT, _BATCH = "images", "embeddings", "N"
#: Batches that are compared: one image, and more than the traced two.
_COMPARED = (1, 5)
#: Largest difference of unit embeddings that rounding explains.
_TOLERANCE = 1e-4


def export_onnx(model: Path, out: Path) -> float:
    """Write the backbone of the checkpoint folder `model` to the ONNX file `out`, and compare the two.

    The file takes ``images[N, 3, S, S]`` float32, normalized as its metadata say, and gives ``embeddings[N, D]``.

    Returns
    -------
    float
        Largest absolute difference between unit embeddings of the file and of PyTorch, on random images.

    Raises
    ------
    InputError
        If `model` is no checkpoint, `out` no ``.onnx``, or the extra is not installed.
    PurifyError
        If the file computes something else; nothing is written then.
    """
    if out.suffix != ".onnx":
        raise InputError(f"{out}: expected a name that ends in .onnx")
    _require_onnx()
    checkpoint = load_checkpoint(model)
    backbone, _ = checkpoint.build()
    backbone.eval()
    with atomic_path(out) as temporary:
        _trace(backbone, checkpoint.input_size, temporary)
        _describe(temporary, checkpoint)
        difference = _largest_difference(backbone, checkpoint.input_size, temporary)
        if not difference <= _TOLERANCE:
            raise PurifyError(
                f"{out}: not written, since its embeddings would differ from PyTorch's by {difference:.2g}"
            )
    return difference


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401

        quiet_onnxruntime()
    except ImportError as error:
        raise InputError(f"to write ONNX models, {error.name} is needed; pip install 'purify[onnx]'") from error


def _trace(backbone: nn.Module, size: int, out: Path) -> None:
    """Export by tracing, which, unlike the newer exporter, needs no further package."""
    images = torch.zeros(2, 3, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            backbone,
            (images,),
            str(out),
            dynamo=False,
            opset_version=_OPSET,
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            dynamic_axes={_INPUT: {0: _BATCH}, _OUTPUT: {0: _BATCH}},
        )


def _describe(path: Path, checkpoint: Checkpoint) -> None:
    """Add the preprocessing to the metadata of a file, and leave out what depends on the machine."""
    import onnx

    said = checkpoint.preprocessing
    preprocessing = {"color": said["color"], "mean": said["mean"], "std": said["std"], "size": checkpoint.input_size}
    model = onnx.load(str(path))
    for node in model.graph.node:
        node.doc_string = ""
    onnx.helper.set_model_props(
        model, {METADATA_KEY: json.dumps(preprocessing, sort_keys=True), "purify.backbone": checkpoint.backbone_name}
    )
    onnx.save(model, str(path))


def _largest_difference(backbone: nn.Module, size: int, path: Path) -> float:
    session = open_session(path, threads=0)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch in _COMPARED:
        images = torch.rand(batch, 3, size, size, generator=generator) * 2 - 1
        with torch.inference_mode():
            expected = _unit(backbone(images))
        found = _unit(torch.from_numpy(np.asarray(session.run([_OUTPUT], {_INPUT: images.numpy()})[0])))
        differences.append(float((found - expected).abs().max()))
    return max(differences)


def _unit(embeddings: Tensor) -> Tensor:
    return nn.functional.normalize(embeddings.float(), dim=1)
