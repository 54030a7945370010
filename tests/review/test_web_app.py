"""The web application: what it answers, and whom it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from purify.cli import main
from purify.review.guard import HEADERS, AccessPolicy, RawRequest, refusal
from purify.review.session import ReviewSession
from purify.review.web_app import PAGE, build_app
from purify.storage.run_folder import RunFolder
from purify.tables.reviews import read_reviews
from purify.tables.schema import Flag, Reason

TOKEN = "the-token-of-this-start"
HOST = "127.0.0.1:8642"
BASE = f"http://{HOST}"
DECISION = {"tab": "1", "seen": 0, "actions": [{"rows": [0], "decision": "drop", "seen": 0}]}
DECISION_TEXT = '{"tab": "1", "seen": 0, "actions": [{"rows": [0], "decision": "drop", "seen": -1}]}'


@pytest.fixture
def stranger(run: RunFolder) -> Iterator[TestClient]:
    """A client without the token."""
    access = AccessPolicy(frozenset({HOST, "localhost:8642"}), "purify-review-8642", TOKEN)
    with TestClient(build_app(ReviewSession(run, "ann"), access), base_url=BASE) as client:
        yield client


@pytest.fixture
def client(stranger: TestClient) -> TestClient:
    """A client that has opened the address with the token, as a tab does."""
    assert stranger.get("/", params={"token": TOKEN}).status_code == 200
    stranger.headers["x-purify-token"] = stranger.get("/api/state").json()["token"]
    return stranger


def test_a_tab_gets_a_cookie_that_other_sites_can_not_use(stranger: TestClient) -> None:
    response = stranger.get("/", params={"token": TOKEN})
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in response.text
    stranger.cookies.clear()
    assert stranger.get("/").status_code == 403


@pytest.mark.parametrize("token", [None, "", "the-token-of-this-star", TOKEN + "x", "\u00e9"])
def test_nothing_of_the_run_without_the_token(stranger: TestClient, token: str | None) -> None:
    for path in ("/", "/api/state", "/api/queue", "/api/labels", "/faces/x/0/small", "/api/items/0", "/api/changes"):
        response = stranger.get(path, params={} if token is None else {"token": token})
        assert response.status_code == 403
        assert "token" in response.json()["error"]


def test_no_write_without_the_token_in_a_header(stranger: TestClient, run: RunFolder) -> None:
    stranger.get("/", params={"token": TOKEN})  # the cookie alone is what a forged form would have, at most
    for path, body in (("/api/reviews", DECISION), ("/api/undo", {"tab": "1", "seen": 0})):
        assert stranger.post(path, json=body).status_code == 403
        assert stranger.post(path, json=body, params={"token": TOKEN}).status_code == 403
    assert not run.reviews.exists()


def test_other_sites_and_rebound_names_are_refused(client: TestClient, run: RunFolder) -> None:
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:8642"},
        {"origin": "http://127.0.0.1:9999"},
        {"host": "evil.example:8642", "origin": "http://evil.example:8642"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1:9999"},
    ):
        assert client.post("/api/reviews", json=DECISION, headers=headers).status_code == 403
        assert client.get("/api/state", headers=headers).status_code == 403
        assert client.get("/page/main.js", headers=headers).status_code == 403
    assert not run.reviews.exists()


@pytest.mark.parametrize("host", ["127.0.0.1:8642/page/?", "x/page/#", "x/page/", "a@b", "", "x y", "x:1:2"])
def test_a_host_that_looks_like_a_path_opens_nothing(run: RunFolder, host: str) -> None:
    """Frameworks build the URL from it, so that a request for the token looks like one for an open file."""
    everywhere = AccessPolicy(frozenset(), "purify-review-8642", TOKEN)
    with TestClient(build_app(ReviewSession(run, "ann"), everywhere), base_url=BASE) as client:
        assert client.get("/page/main.js", headers={"host": "192.0.2.1:8642"}).status_code == 200
        response = client.get("/api/state", headers={"host": host})
    assert response.status_code == 403
    assert TOKEN not in response.text


def test_the_guard_needs_one_host_and_one_origin() -> None:
    access = AccessPolicy(frozenset({HOST}), "c", TOKEN)
    token = (b"x-purify-token", TOKEN.encode())
    host, other = (b"host", HOST.encode()), (b"host", b"evil.example")

    def why(*headers: tuple[bytes, bytes], method: str = "GET", path: str = "/api/state") -> str | None:
        return refusal(access, RawRequest(method, path, headers, b""))

    assert why(host, token) is None
    assert why(host, (b"cookie", b"a=b; c=" + TOKEN.encode())) is None
    for headers in ((token,), (host, host, token), (host, other, token), (other, host, token)):
        assert why(*headers) is not None
    origin = (b"origin", f"http://{HOST}".encode())
    assert why(host, token, origin) is None
    assert why(host, token, origin, (b"origin", b"http://evil.example")) is not None
    assert why(host, path="/page/main.js") is None
    assert why(host, path="/page/main.js", method="POST") is not None


def test_requests_beyond_measure_are_refused(client: TestClient, run: RunFolder) -> None:
    huge = b'{"tab": "' + b"x" * (5 << 20) + b'"}'
    assert client.post("/api/reviews", content=huge).status_code == 413
    assert client.post("/api/reviews", content=(huge[:1000] for _ in range(6000))).status_code == 413
    assert client.get("/api/labels?" + "&".join(f"q{i}=1" for i in range(500))).status_code == 403
    assert not run.reviews.exists()


@pytest.mark.parametrize("text", ["\\ud800", "x\\udfff"])
def test_halves_of_characters_are_refused_and_change_nothing(client: TestClient, run: RunFolder, text: str) -> None:
    action = f'{{"rows": [0], "decision": "relabel", "new_label": "{text}", "seen": 0}}'
    bodies = (
        f'{{"tab": "1", "seen": 0, "actions": [{action}]}}',
        DECISION_TEXT.replace('"1"', f'"{text}"'),
        f'{{"{text}": 1}}',
        '{"tab": "1", "seen": 0, "id": 99999999999999999999999999}',
        "[" * 100_000,
    )
    for body in bodies:
        for path in ("/api/reviews", "/api/undo"):
            response = client.post(path, content=body, headers={"content-type": "application/json"})
            assert response.status_code in (400, 422), (path, body[:50], response.text)
    assert not run.reviews.exists()


def test_the_own_page_may_write(client: TestClient, run: RunFolder) -> None:
    for origin in (BASE, "http://localhost:8642"):
        headers = {"origin": origin, "host": origin.removeprefix("http://")}
        response = client.post("/api/reviews", json=DECISION, headers=headers)
        assert response.status_code == 200
        assert response.json()["outcomes"][0]["applied"] == 1
    assert read_reviews(run.reviews)["decision"].to_pylist() == ["drop", "drop"]


def test_every_answer_has_the_headers(client: TestClient) -> None:
    for path in ("/", "/page/main.js", "/api/state", "/nothing", "/api/items/99999"):
        response = client.get(path)
        assert {name: response.headers[name] for name in HEADERS} == HEADERS
        assert "no-store" in response.headers["cache-control"]
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_the_page_has_no_code_in_its_text() -> None:
    """The policy forbids it: no inline script, style or handler, and nothing that makes HTML of a string."""
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "style=" not in page
    assert " on" not in [part[:3] for part in page.split('"')]
    for path in PAGE.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"):
            assert word not in text, path.name


def test_decisions_that_make_no_sense_change_nothing(client: TestClient, run: RunFolder) -> None:
    bodies: list[dict[str, Any]] = [
        {**DECISION, "actions": []},
        {**DECISION, "tab": ""},
        {**DECISION, "seen": -1},
        {"seen": 0, "actions": DECISION["actions"]},
        {**DECISION, "actions": [{"rows": [0], "decision": "drop"}]},
        *(
            {**DECISION, "actions": [{"seen": 0, **action}]}
            for action in (
                {"rows": [], "decision": "drop"},
                {"rows": [-1], "decision": "drop"},
                {"rows": [0, 99999], "decision": "drop"},
                {"rows": [0], "decision": "burn"},
                {"rows": [0], "decision": "relabel"},
                {"rows": [0], "decision": "relabel", "new_label": "  "},
                {"rows": [0], "decision": "keep", "new_label": "Bo"},
                {"rows": [0], "decision": "drop", "sample_id": "x"},
            )
        ),
    ]
    for body in bodies:
        assert client.post("/api/reviews", json=body).status_code in (404, 422), body
    assert not run.reviews.exists()


def test_questions_for_what_is_not_there(client: TestClient) -> None:
    for path in (
        "/api/items/-1", "/api/items/99999", "/api/labels/99", "/api/labels/-1", "/api/queue?view=secret",
        "/api/queue?label=99", "/faces/x/99999/small", "/page/app.py", "/page/..%2Fapp.py", "/page/index.html", "/docs",
        "/openapi.json",
    ):  # fmt: skip
        assert client.get(path).status_code == 404, path
    for path in ("/api/queue?start=-1", "/api/queue?n=1000", "/faces/x/0/huge", "/api/changes?seen=-1"):
        assert client.get(path).status_code == 422, path


def test_a_decision_and_its_undo(client: TestClient) -> None:
    answer = client.post("/api/reviews", json=DECISION).json()
    assert answer["reviews"]["0"]["decision"] == "drop"
    assert answer["n_reviewed"] == 1
    action = answer["outcomes"][0]["action_id"]
    assert client.get("/api/changes", params={"seen": 0}).json()["reviews"]["0"]["reviewer"] == "ann"
    undone = client.post("/api/undo", json={"tab": "1", "seen": answer["version"], "id": action}).json()
    assert (undone["rows"], undone["reviews"], undone["n_reviewed"]) == ([0], {"0": None}, 0)


def test_a_conflict_comes_with_the_decision_that_holds(client: TestClient) -> None:
    version = client.post("/api/reviews", json=DECISION).json()["version"]
    late = {"tab": "2", "seen": version, "actions": [{"rows": [0], "decision": "keep", "seen": 0}]}
    answer = client.post("/api/reviews", json=late).json()
    assert answer["outcomes"][0]["conflicts"] == [0]
    assert answer["reviews"]["0"]["decision"] == "drop"


def test_a_damaged_file_of_reviews_is_named(client: TestClient, run: RunFolder) -> None:
    run.reviews.write_bytes(b"not a table")
    response = client.post("/api/reviews", json=DECISION)
    assert response.status_code == 500
    assert str(run.reviews) in response.json()["error"]
    assert run.reviews.read_bytes() == b"not a table"


def test_pictures_are_kept_by_the_tab_only(client: TestClient) -> None:
    response = client.get("/faces/x/0/small")
    assert response.headers["content-type"] == "image/jpeg"
    assert "private" in response.headers["cache-control"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-folder"], "no-such-folder"),
        (["."], "no run with verdicts"),
        ([".", "--host", "example.org"], "expected an address in numbers"),
        ([".", "--port", "70000"], "70000"),
    ],
)
def test_the_command_refuses_what_it_can_not_serve(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    result = CliRunner().invoke(main, ["review", *arguments])
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_address_that_is_not_of_this_machine(run: RunFolder) -> None:
    result = CliRunner().invoke(main, ["review", str(run.root), "--host", "203.0.113.7"])
    assert result.exit_code == 2
    assert "--host 203.0.113.7 --port 0: can't listen there" in result.stderr


def test_the_page_has_words_for_every_reason_and_flag() -> None:
    said = (PAGE / "face.js").read_text(encoding="utf-8")
    assert [reason for reason in Reason if reason is not Reason.REVIEWED and f"  {reason}: " not in said] == []
    said = (PAGE / "label.js").read_text(encoding="utf-8")
    assert [flag for flag in Flag if flag is not Flag.OK and f"{flag}: " not in said] == []
