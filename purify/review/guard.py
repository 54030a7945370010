"""Who may talk to the page: only its own tabs, with the token of this start, from the address it is served at.

A page on the internet can make a browser send requests to this machine. It can't know the token, can't set its
header, isn't of the same site (so the cookie stays behind), and shows in ``Origin`` and, after DNS rebinding, in
``Host``.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

TOKEN_HEADER = "x-purify-token"
#: The page's own files say nothing of the run.
OPEN_PREFIX = "/page/"
_SAFE_METHODS = ("GET", "HEAD")

#: Nothing from elsewhere, nothing inside another page, no text taken for code.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class AccessPolicy:
    """Where the page is served, and the secret that opens it.

    Attributes
    ----------
    hosts
        Values of ``Host`` that are the page's own, such as ``127.0.0.1:8642``; empty: any, since the server
        answers at every address of the machine.
    cookie
        Name of the cookie; another for each port, since ports share cookies.
    """

    hosts: frozenset[str]
    cookie: str
    token: str


def refusal(
    access: AccessPolicy,
    method: str,
    path: str,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    cookies: Mapping[str, str],
) -> str | None:
    """Why a request is refused; None: it may pass. Names of `headers` are lower case."""
    host = headers.get("host", "")
    if access.hosts and host not in access.hosts:
        return "this address is not the page's own"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "a page of another site asks"
    if path.startswith(OPEN_PREFIX) and method in _SAFE_METHODS:
        return None
    given = [headers.get(TOKEN_HEADER)]
    if method in _SAFE_METHODS:
        given += [query.get("token"), cookies.get(access.cookie)]
    if not any(value and hmac.compare_digest(value.encode(), access.token.encode()) for value in given):
        return "open the address that `purify review` printed: its token is missing, or of an earlier start"
    return None
