"""The web application of the page: a JSON interface behind the guard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from purify.errors import PurifyError
from purify.review.guard import HEADERS, OPEN_PREFIX, AccessPolicy, RawRequest, refusal
from purify.review.review_log import Action
from purify.review.session import ReviewSession
from purify.tables.schema import Decision

PAGE = Path(__file__).with_name("page")
_FIRST_ITEMS = 6
_MOST_ITEMS = 50
_MOST_LABELS = 200
_LONGEST_LABEL = 10_000
#: Bytes of a request: the rows of the largest label, and more.
_MOST_BODY = 4 << 20
_MOST_ID = (1 << 63) - 1
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class _Guard:
    """Middleware that refuses requests by the guard, and sets its headers on every response."""

    def __init__(self, app: Callable[[_Message, _Receive, _Send], Awaitable[None]], access: AccessPolicy) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":  # the start and end of the server
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: _Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), *_HEADERS]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
            await send(message)

        request = RawRequest(scope["method"], scope["path"], scope["headers"], scope.get("query_string", b""))
        if (why := refusal(self._access, request)) is not None:
            await JSONResponse({"error": why}, status_code=403)(scope, receive, send_guarded)
        elif (body := await _body(receive)) is None:
            await JSONResponse({"error": "the request is too large"}, status_code=413)(scope, receive, send_guarded)
        else:
            await self._app(scope, _replayed(body, receive), send_guarded)


async def _body(receive: _Receive) -> bytes | None:
    """The body of a request; None if it is larger than any that the page sends."""
    parts, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message["type"] == "http.request" and message.get("more_body", False)
        if size > _MOST_BODY:
            return None
    return b"".join(parts)


def _replayed(body: bytes, receive: _Receive) -> _Receive:
    """`receive` of a request whose body has been read."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> _Message:
        return messages.pop() if messages else await receive()

    return replay


def _unicode(text: str) -> str:
    """Refuse halves of characters, which JSON can hold and no file can."""
    if not text.isascii():
        text.encode()  # a UnicodeEncodeError is a ValueError
    return text


Text = Annotated[str, AfterValidator(_unicode)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Decided(_Body):
    """A decision on some rows and the version it is based on; a relabel names the new label."""

    rows: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    decision: Decision
    new_label: Text | None = Field(None, max_length=_LONGEST_LABEL)
    seen: int = Field(ge=0)

    @model_validator(mode="after")
    def _label_of_a_relabel(self) -> Decided:
        relabel = self.decision is Decision.RELABEL
        if relabel != (self.new_label is not None and bool(self.new_label.strip())):
            raise ValueError("a relabel, and nothing else, comes with a new_label")
        return self


class _FromTab(_Body):
    """The sending tab, and the version up to which it knows the changes."""

    tab: Text = Field(min_length=1, max_length=64)
    seen: int = Field(ge=0)


class Decisions(_FromTab):
    """Decisions of a tab, in order."""

    actions: list[Decided] = Field(min_length=1)


class Undo(_FromTab):
    """Undo an action; without `id`, the last one."""

    id: int | None = Field(None, ge=0, le=_MOST_ID)


def build_app(session: ReviewSession, access: AccessPolicy) -> FastAPI:
    """The application of one run."""
    app = FastAPI(title="purify review", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Guard, access=access)
    files = {path.name: path.read_bytes() for path in PAGE.iterdir()}

    @app.exception_handler(PurifyError)
    async def explain(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=500)

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: Exception) -> Response:
        """Without the values sent: they may be what JSON can't hold."""
        found = error.errors() if isinstance(error, RequestValidationError) else []
        return JSONResponse(
            {"detail": [{"loc": list(map(_shown, one["loc"])), "msg": one["msg"]} for one in found]}, 422
        )

    @app.get("/")
    async def index() -> Response:
        response = HTMLResponse(files["index.html"])
        response.set_cookie(access.cookie, access.token, httponly=True, samesite="strict")
        return response

    @app.get(OPEN_PREFIX + "{name}")
    async def page_file(name: str) -> Response:
        kind = _MEDIA_TYPES.get(Path(name).suffix)
        if name not in files or kind is None:
            raise HTTPException(404)
        return Response(files[name], media_type=kind)

    @app.get("/api/state")
    def state() -> Any:
        return {"token": access.token, **session.state(most=_FIRST_ITEMS)}

    @app.get("/api/queue")
    def queue(
        view: str = "informative",
        label: int | None = None,
        start: Annotated[int, Query(ge=0)] = 0,
        n: Annotated[int, Query(ge=1, le=_MOST_ITEMS)] = 12,
    ) -> Any:
        if view not in session.views or (label is not None and not session.has_label(label)):
            raise HTTPException(404)
        return session.page(view, label, start=start, most=n)

    @app.get("/api/items/{row}")
    def item(row: int) -> Any:
        _require_rows(session, [row])
        return session.item(row)

    @app.get("/api/labels")
    def labels(q: str = "", n: Annotated[int, Query(ge=1, le=_MOST_LABELS)] = 50) -> Any:
        return session.search(q, most=n)

    @app.get("/api/labels/{label}")
    def label(label: int) -> Any:
        if not session.has_label(label):
            raise HTTPException(404)
        return session.label(label)

    @app.get("/faces/{start}/{row}/{size}")
    def face(row: int, size: Literal["small", "large", "photo"]) -> Response:
        _require_rows(session, [row])
        jpeg = session.images.jpeg(row, size)
        if jpeg is None:
            raise HTTPException(404)
        # The address contains the id of this start, so a cached image is never of another run.
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400, immutable"})

    @app.get("/api/changes")
    def changes(seen: Annotated[int, Query(ge=0)]) -> Any:
        session.log.refresh()
        return session.changes(seen)

    @app.post("/api/reviews")
    def decide(body: Decisions) -> Any:
        for action in body.actions:
            _require_rows(session, action.rows)
        actions = [Action(action.rows, action.decision, action.new_label, action.seen) for action in body.actions]
        outcomes = session.log.record(actions, tab=body.tab)
        conflicts = [row for outcome in outcomes for row in outcome.conflicts]
        return {"outcomes": [asdict(outcome) for outcome in outcomes], **session.changes(body.seen, also=conflicts)}

    @app.post("/api/undo")
    def undo(body: Undo) -> Any:
        rows = session.log.undo(body.id, tab=body.tab)
        return {"rows": rows, **session.changes(body.seen)}

    return app


def _shown(part: str | int) -> str | int:
    """A part of the place of a wrong value, in valid Unicode."""
    return part.encode("utf-8", "replace").decode() if isinstance(part, str) else part


def _require_rows(session: ReviewSession, rows: Iterable[int]) -> None:
    if any(not 0 <= row < len(session.samples) for row in rows):
        raise HTTPException(404)
