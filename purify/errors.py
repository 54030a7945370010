"""Errors shown to users.

Each carries the exit code of the command line: 2 for bad input or usage, 1 for work that failed.
A message names the file (and the row, if any), the expectation, and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PurifyError(Exception):
    """Failed work; the command line prints the message and exits with 1."""

    exit_code = 1


class InputError(PurifyError):
    """Bad input or usage, to be corrected by the user; the command line exits with 2."""

    exit_code = 2


class CheckpointError(InputError):
    """A damaged checkpoint, or one that does not match the manifest or model."""


class TrainingCollapsedError(PurifyError):
    """Collapsed training: its model supports no verdicts."""


class RankLostError(PurifyError):
    """Loss of a training process, without which the others can't continue."""


def named_error(name: str, message: str) -> PurifyError:
    """The error of that class, as a child process reports it."""
    error: PurifyError = globals().get(name, PurifyError)(message)
    return error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest a known word for an unknown `word`: ``"; did you mean 'epochs'?"``, or empty without a similar one.

    A name without its section counts too: ``epochs`` means ``train.epochs``.
    """
    known = list(known)
    same_name = [name for name in known if name.rpartition(".")[2] == word.rpartition(".")[2]]
    found = same_name or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
