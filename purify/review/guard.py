"""Access control of the page: only its own tabs, with the token of this start, from the address it is served at.

Any web page can make a browser send requests to this machine. But it does not know the token, cannot set its header,
gets no cookie sent as another site, and is exposed by ``Origin`` and, after DNS rebinding, by ``Host``.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

TOKEN_HEADER = "x-purify-token"
#: The page's own files reveal nothing of the run.
OPEN_PREFIX = "/page/"
_SAFE_METHODS = ("GET", "HEAD")

#: No foreign resources, no framing, no text run as code.
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
    """Addresses of the page, and the token that opens it.

    `hosts` are the accepted values of ``Host``, such as ``127.0.0.1:8642``; empty: any, for a server on all
    interfaces. `cookie` is the name of the cookie, different for each port, since ports share cookies.
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
    """Reason to refuse a request; None to accept it. Names of `headers` are lower case."""
    host = headers.get("host", "")
    if access.hosts and host not in access.hosts:
        return "the page is not served at this address"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "the request comes from another site"
    if path.startswith(OPEN_PREFIX) and method in _SAFE_METHODS:
        return None
    given = [headers.get(TOKEN_HEADER)]
    if method in _SAFE_METHODS:
        given += [query.get("token"), cookies.get(access.cookie)]
    if not any(value and hmac.compare_digest(value.encode(), access.token.encode()) for value in given):
        return "open the address that `purify review` printed: its token is missing, or of an earlier start"
    return None
