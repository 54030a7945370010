"""Fixtures that all tests share, and the environment, set before torch, faiss or Prefect is imported."""

from __future__ import annotations

import atexit
import fcntl
import io
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from purify.config import IngestConfig
    from purify.storage.run_folder import RunFolder
    from tests.noisy_set import NoisySet

_PREFECT_HOME = tempfile.mkdtemp(prefix="purify-tests-prefect-")
_CACHE = tempfile.mkdtemp(prefix="purify-tests-cache-")
for _folder in (_PREFECT_HOME, _CACHE):
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)

for _name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_LOGGING_LEVEL"):
    os.environ.pop(_name, None)  # no test may reach a developer's own server
os.environ |= {
    "DO_NOT_TRACK": "1",
    "MPLBACKEND": "Agg",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PREFECT_HOME": _PREFECT_HOME,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PURIFY_CACHE": _CACHE,
}
# One thread: sums in the same order on every machine, and no contention between processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on all cores, a module at a time; what is named on the command line, in this process."""
    option = config.option
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not hasattr(config, "workerinput")
    if whole and getattr(option, "numprocesses", 0) is None and not option.usepdb:  # None: pytest-xdist, but no -n
        option.numprocesses, option.dist, option.loadscopereorder = "logical", "loadscope", False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules of many slow tests first: on several cores, nothing long begins last."""
    slow = Counter(item.path for item in items if "slow" in item.keywords)
    items.sort(key=lambda item: -slow[item.path])


# How long an example takes says more of the machine than of the code.
settings.register_profile("purify", deadline=None)
settings.load_profile("purify")


@pytest.fixture(scope="session")
def faces() -> Path:
    """Folder of real faces for development: beside the checkout, or where ``PURIFY_FACES`` says."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "faces"
    folder = Path(os.environ.get("PURIFY_FACES", beside))
    if not folder.is_dir():
        pytest.skip(f"no real faces in {folder}; set PURIFY_FACES to their folder")
    return folder


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """A temporary Prefect server for flows run in this process; its URL, for programs that tests start.

    Without the heartbeat, whose thread adds a second to the end of each flow run.
    """
    from purify.orchestration.prefect_api import prefect_api

    with prefect_api() as url:
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield url


SECRET = "never-to-be-shown"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3-compatible server of its own process; its address, which the environment names to every client."""
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        threading.Thread(target=server.stderr.read, daemon=True).start()  # or the pipe fills up
        with pytest.MonkeyPatch.context() as environment:
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "FSSPEC_S3_ENDPOINT_URL"):
                environment.delenv(name, raising=False)
            environment.setenv("AWS_ENDPOINT_URL", address)
            environment.setenv("AWS_ACCESS_KEY_ID", "tester")
            environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
            yield address
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def s3_bucket(s3_server: str) -> str:
    """URL of a new, empty bucket."""
    import s3fs

    name = f"test-{secrets.token_hex(6)}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CHROMIUM_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium that reaches the loopback interface and files only; skips where there is none.

    It lives as long as a module: while it does, this thread has a running event loop, which Prefect refuses.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    program = next(filter(None, map(shutil.which, _CHROMIUM_NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on this machine; `make browser` installs it on Debian")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=program,
            args=[*_CHROMIUM_FLAGS, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"],
            chromium_sandbox=False,  # CI runs as root in a container, where it can't be had
        )
        yield chromium
        chromium.close()


DrawStripes = Callable[[Path, float, np.random.Generator], None]


@pytest.fixture(scope="session")
def draw_stripes() -> DrawStripes:
    """Draw a noisy picture of stripes; their angle (radians) is the identity that a small network learns."""

    from tests.noisy_set import draw_stripe_pattern

    return draw_stripe_pattern


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Folder of what a function makes, given its path: by the first process of the tests that asks for the name."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        place, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not done.exists():
                make(place)
                done.touch()
        return place

    return folder


@pytest.fixture(scope="session")
def noisy_set(made_once: Callable[..., Path], draw_stripes: DrawStripes) -> NoisySet:
    """Striped pictures with wrong labels, a table with truth, and pairs of unseen patterns."""
    from tests.noisy_set import NoisySet, draw_noisy_set

    folder = made_once("noisy", lambda place: draw_noisy_set(place, draw_stripes))
    return NoisySet(folder / "images", folder / "table.csv", folder / "pairs.csv")


@pytest.fixture(scope="session")
def plain_run(noisy_set: NoisySet, made_once: Callable[..., Path]) -> RunFolder:
    """A run on the noisy set by `purify.pipeline.run.run`, in this process; for all processes of the tests."""
    from purify.pipeline.run import run
    from purify.storage.run_folder import RunFolder

    made = made_once("plain", lambda place: run(noisy_set.table, place, noisy_set.config(), progress=False))
    return RunFolder(made)


Encode = Callable[..., bytes]


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Bytes of a random picture: ``encode(width, height, format="PNG", mode="RGB", seed=0, **save_options)``."""

    def make(
        width: int = 24, height: int = 24, file_format: str = "PNG", *, mode: str = "RGB", seed: int = 0, **save: object
    ) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, file_format, **save)
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def write_tree() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """Write files by relative name under a folder, and return it."""

    def write(root: Path, files: Mapping[str, bytes]) -> Path:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return write


@pytest.fixture(scope="session")
def write_tar() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """Write files as members of a new tar, and return its path."""
    from tests.tar_files import write_tar as write

    return write


@pytest.fixture
def config() -> IngestConfig:
    from purify.config import IngestConfig

    return IngestConfig(workers=2)
