"""A tiny ONNX file: embeddings that are a known linear function of the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_linear_onnx(
    path: Path,
    weight: np.ndarray,
    *,
    size: int,
    shape: tuple[int | str, ...] | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Embeddings ``images.reshape(N, -1) @ weight`` of ``images[N, 3, size, size]``, declared as `shape` if given."""
    declared = shape or ("N", 3, size, size)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "weight"], ["embeddings"]),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, declared)],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, (declared[0], weight.shape[1]))],
        [numpy_helper.from_array(weight.astype(np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
