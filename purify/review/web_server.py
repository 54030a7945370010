"""The web server of the review page: bound before it is announced, on the loopback interface unless told otherwise."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from purify.errors import InputError
from purify.review.guard import AccessPolicy
from purify.review.session import ReviewSession
from purify.review.web_app import build_app
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_LAST_WORDS_SECONDS = 2


def serve_review(
    run: Path, *, host: str, port: int, reviewer: str, ready: Callable[[str], None], images: Sequence[Location] = ()
) -> int:
    """Serve the page of `run` until Ctrl-C, and return the number of reviewed samples.

    `host` is a numeric address of this machine; port 0: any free one. `ready` is called with the page's address, token
    included, once it answers. For `reviewer` and `images` see `ReviewSession`.

    Raises
    ------
    InputError
        If the folder is no run with verdicts, or the address is not available.
    """
    session = ReviewSession(RunFolder(run), reviewer, images=images)
    with contextlib.closing(session.images), _listen(host, port) as listener:
        port = listener.getsockname()[1]
        access = _access_policy(host, port)
        config = uvicorn.Config(
            build_app(session, access),
            access_log=False,
            log_level="warning",
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_LAST_WORDS_SECONDS,
        )
        threading.Thread(target=session.warm_up, daemon=True).start()
        ready(f"http://{_in_url(host)}:{port}/?token={access.token}")
        with contextlib.suppress(KeyboardInterrupt):  # the way to stop it; open requests are answered first
            uvicorn.Server(config).run(sockets=[listener])
    return int(session.log.reviewed.sum())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: can't listen there: {error.strerror or error}") from error


def _access_policy(host: str, port: int) -> AccessPolicy:
    address = ipaddress.ip_address(host)
    names = (_in_url(host), *(_LOOPBACK_NAMES if address.is_loopback else ()))
    hosts = frozenset() if address.is_unspecified else frozenset(f"{name}:{port}" for name in names)
    return AccessPolicy(hosts, f"purify-review-{port}", secrets.token_urlsafe(24))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
