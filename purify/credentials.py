"""Refusal of credentials in paths and URLs."""

from __future__ import annotations

import re

#: A URL with a user name or password; a password may hold a slash, a colon before digits alone is that of a port.
CREDENTIALS_PATTERN = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/]*@|[^/:@]*:(?![0-9]{1,5}(?:/|$)).*@)"


def without_credentials(place: str) -> str:
    """Return `place`, a path or URL, if it holds no user name or password.

    Raises
    ------
    ValueError
        If it does: parameters are stored in ``run.json`` and on the Prefect server, readable by others.
    """
    if re.match(CREDENTIALS_PATTERN, place):
        scheme = place.partition("://")[0]
        raise ValueError(
            f"a user name or password in a {scheme}:// URL would be stored in clear; leave it out, and give it to the "
            "process in its environment (such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    return place
