"""Sessions of ONNX Runtime (the extra ``onnx``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from purify.errors import InputError
from purify.storage.files import one_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_CPU = "CPUExecutionProvider"
_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def quiet_onnxruntime() -> Any:
    """Import ONNX Runtime with its telemetry off; ImportError if it is missing.

    Its official builds send events to Microsoft unless told otherwise, those of version 1.32 on Linux as well, and
    leave a file ``.ses`` in the temporary folder. The variable counts when the library is loaded, the call when another
    package has loaded it before.
    """
    os.environ.setdefault(_NO_TELEMETRY, "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def open_session(path: Path, *, threads: int, providers: Sequence[str] = ()) -> InferenceSession:
    """Open an ONNX file; `providers` are tried before the CPU, where `threads` share a layer (0: as the runtime likes).

    InputError if ONNX Runtime is missing, or the file is no ONNX model.
    """
    try:
        onnxruntime = quiet_onnxruntime()
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
