from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = "from purify.processes import end_with_parent; end_with_parent({}); import time; time.sleep(60)"
GRANDCHILD = """
import multiprocessing, time
from purify.processes import end_with_parent

def work(pipe):
    end_with_parent()
    pipe.send("ready")
    time.sleep(60)

if __name__ == "__main__":
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=work, args=(theirs,))
    child.start()
    ours.recv()
    print(child.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("arguments", "code"), [("", 1), ("shutdown_seconds=30", -signal.SIGTERM)])
def test_a_child_ends_when_its_input_is_closed(arguments: str, code: int) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD.format(arguments)], stdin=subprocess.PIPE) as child:
        time.sleep(0.2)
        assert child.poll() is None
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(timeout=30) == code


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_child_of_multiprocessing_ends_with_a_killed_parent(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(GRANDCHILD)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 30
        while _runs(child):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether a process still computes; one that nobody waited for is a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_importing_it_is_cheap() -> None:
    program = "import sys, purify.processes; print(*(sys.modules.keys() & {'numpy', 'pydantic', 'torch', 'prefect'}))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == ""


@pytest.mark.parametrize("module", ["purify.training.launcher", "purify.training.job"])
def test_starting_a_training_needs_no_torch_in_the_parent(module: str) -> None:
    program = f"import sys, {module}; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
