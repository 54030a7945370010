"""Sub-center ArcFace dataset purification: from a noisy set of faces to a cleaned one, with the measured gain.

`find_label_errors` judges embeddings and labels; `run` is the whole pipeline, and `read_run` reads its results.
`SubcenterArcFace` is the head for your own training loops. Importing this module imports nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from purify.version import __version__ as __version__

if TYPE_CHECKING:
    from purify.models.subcenter_arcface import SubcenterArcFace
    from purify.pipeline.label_errors import Verdicts, find_label_errors
    from purify.pipeline.results import read_run
    from purify.pipeline.run import run

__all__ = ["SubcenterArcFace", "Verdicts", "find_label_errors", "read_run", "run"]

_HOMES = {
    "SubcenterArcFace": "purify.models.subcenter_arcface",
    "Verdicts": "purify.pipeline.label_errors",
    "find_label_errors": "purify.pipeline.label_errors",
    "read_run": "purify.pipeline.results",
    "run": "purify.pipeline.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
