"""Brace patterns: ``shard-{000..012}.tar`` and ``{train,val}.tar`` name several files, as in a shell."""

from __future__ import annotations

import re

from purify.errors import InputError

_BRACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000


def is_brace_pattern(text: str) -> bool:
    """Whether `text` holds a range or a list in braces."""
    return any(_RANGE.fullmatch(inner) or "," in inner for inner in _BRACE.findall(text))


def expand_braces(text: str) -> list[str]:
    """All names that a pattern stands for, in order; a range has as many digits as its first number.

    InputError if they are more than a million.
    """
    for match in _BRACE.finditer(text):
        choices = _choices(match[1])
        if choices is not None:
            rest = expand_braces(text[match.end() :])
            if len(choices) * len(rest) > _MOST:
                raise InputError(f"{text}: stands for more than {_MOST} files")
            return [f"{text[: match.start()]}{choice}{end}" for choice in choices for end in rest]
    return [text]


def _choices(inner: str) -> list[str] | None:
    """What a pair of braces stands for; None if it is part of a name."""
    if bounds := _RANGE.fullmatch(inner):
        first, last = int(bounds[1]), int(bounds[2])
        if abs(last - first) >= _MOST:
            raise InputError(f"{{{inner}}}: stands for more than {_MOST} files")
        step = 1 if last >= first else -1
        return [str(number).zfill(len(bounds[1])) for number in range(first, last + step, step)]
    return inner.split(",") if "," in inner else None
