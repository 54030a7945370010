"""Which code a stage ran: a hash that changes with its statements, and not with comments, docstrings or layout."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

_MODEL = (
    "models",
    "faces/augment.py",
    "faces/masks.py",
    "manifest/decode.py",
    "manifest/loading.py",
    "training/precision.py",
)
_DECISIONS = ("manifest/apply.py", "manifest/decisions.py", "manifest/reviews.py")
_ANALYSIS = ("analysis", "training/schedule.py", *_MODEL, *_DECISIONS)

#: First word of a stage's name -> what computes its result, inside this package. What only moves files, shows
#: progress or orders the stages is left out: it would have everything done again for nothing.
_CODE = {
    "ingest": ("manifest",),
    "train": ("training", *_MODEL),
    "embed": ("embedding", *_MODEL),
    "analyze": _ANALYSIS,
    "compare": _ANALYSIS,
    "apply": _DECISIONS,
    "table": ("growth/changes.py", "growth/rule.py"),
    "evaluate": ("evaluation", "embedding", *_MODEL),
}


@cache
def code_version(stage: str) -> str:
    """Hash of the code behind `stage`, such as ``embed`` or ``train-round-2``; all of the package for an unknown one.

    A stage whose record has another one was done by other code, and is done again. By content and not by a number
    that somebody has to raise: a number forgotten would leave old results in place without a word.
    """
    sources = _sources(_CODE.get(stage.partition("-")[0], (".",)))
    return _hash([f"{path.relative_to(_PACKAGE).as_posix()}:{_statements(path)}" for path in sources])


def _sources(places: tuple[str, ...]) -> list[Path]:
    paths = {_PACKAGE / place for place in places}
    return sorted({file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])})


@cache
def _statements(path: Path) -> str:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return _hash([ast.dump(tree)])


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
