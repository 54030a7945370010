"""Sessions of ONNX Runtime (the extra ``onnx``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from purify.errors import InputError
from purify.storage.files import one_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_CPU = "CPUExecutionProvider"


def open_session(path: Path, *, threads: int, providers: Sequence[str] = ()) -> InferenceSession:
    """Open an ONNX file; `providers` are tried before the CPU, where `threads` share a layer (0: as the runtime likes).

    InputError if ONNX Runtime is missing, or the file is no ONNX model.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{path}: ONNX models need ONNX Runtime; pip install 'purify[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    usable = [name for name in (*providers, _CPU) if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(path, options, providers=usable)
    except Exception as error:  # the runtime raises its own types
        raise InputError(f"{path}: can't be read as an ONNX model ({one_line(error)})") from error
