"""Access control of the page: only its own tabs, with the token of this start, from the address it is served at.

Any web page can make a browser send requests to this machine. But it does not know the token, cannot set its header,
gets no cookie sent as another site, and is exposed by ``Origin`` and, after DNS rebinding, by ``Host``.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

TOKEN_HEADER = "x-purify-token"
#: The page's own files reveal nothing of the run.
OPEN_PREFIX = "/page/"
_SAFE_METHODS = ("GET", "HEAD")
#: A name or address with a port, and nothing that a URL could take for its path.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_MOST_FIELDS = 100

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


@dataclass(frozen=True)
class RawRequest:
    """A request as it came: frameworks put together a URL from ``Host``, which a client chooses freely."""

    method: str
    #: Decoded path, without the query.
    path: str
    #: Names in lower case and values, in order; a name may come several times.
    headers: Sequence[tuple[bytes, bytes]]
    query: bytes

    def values(self, name: str) -> list[str]:
        """All values of a header; `name` in lower case."""
        return [value.decode("latin-1") for key, value in self.headers if key == name.encode()]

    def tokens(self, cookie: str) -> list[str]:
        """Tokens in the query and in the cookie of that name."""
        pairs = [part.strip().partition("=") for value in self.values("cookie") for part in value.split(";")]
        return [
            *parse_qs(self.query.decode("latin-1"), max_num_fields=_MOST_FIELDS).get("token", []),
            *(value for name, _, value in pairs if name == cookie),
        ]


def refusal(access: AccessPolicy, request: RawRequest) -> str | None:
    """Reason to refuse a request; None to accept it."""
    hosts, origins = request.values("host"), request.values("origin")
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]) or (access.hosts and hosts[0] not in access.hosts):
        return "the page is not served at this address"
    if origins and origins != [f"http://{hosts[0]}"]:
        return "the request comes from another site"
    if request.path.startswith(OPEN_PREFIX) and request.method in _SAFE_METHODS:
        return None
    given = request.values(TOKEN_HEADER)
    if request.method in _SAFE_METHODS:
        try:
            given += request.tokens(access.cookie)
        except ValueError:
            return "the query has too many fields"
    if not any(value and hmac.compare_digest(value.encode(), access.token.encode()) for value in given):
        return "open the address that `purify review` printed: its token is missing, or of an earlier start"
    return None
