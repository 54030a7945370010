"""Refusal of credentials in paths and URLs."""

from __future__ import annotations

import re

#: A URL with a user name or password, also behind a space or in a chain (``simplecache::s3://``). A password may hold a
#: slash; a colon before digits alone is that of a port, which buckets don't have.
CREDENTIALS_PATTERN = (
    r"^(?:.*[^A-Za-z0-9+.-])?(?:[A-Za-z][A-Za-z0-9+.-]*://(?:[^/]*@|[^/:@]*:(?![0-9]{1,5}(?:/|$)).*@)"
    r"|(?:[Ss]3[AaNn]?|[Gg][Cc]?[Ss]|[Aa][Zz]|[Aa][Bb][Ff][Ss][Ss]?)://[^/:@]*:.*@)"
)


def without_credentials(place: str) -> str:
    """Return `place`, a path or URL, if it holds no user name or password.

    Raises
    ------
    ValueError
        If it does: parameters are stored in ``run.json`` and on the Prefect server, readable by others.
    """
    if re.match(CREDENTIALS_PATTERN, place, re.DOTALL):
        scheme = re.split(r"[^A-Za-z0-9+.-]", place.partition("://")[0])[-1]
        raise ValueError(
            f"a user name or password in a {scheme}:// URL would be stored in clear; leave it out, and give it to the "
            "process in its environment (such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    return place
