"""The child of the campaign: a run that kills itself with SIGKILL inside a stage, at a given moment.

Arguments: a JSON object with source, out, config and embeddings; the stage to die in, or an empty text; the seconds
from its beginning; a file that gets a line with the seconds of each stage as it ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from purify.config import PurifyConfig
from purify.pipeline.request import RunRequest
from purify.pipeline.run import bring_up_to_date
from purify.pipeline.steps import Steps, threads
from purify.storage.run_folder import RunFolder


def watched(name: str, stage: Callable[..., Any], *, deadly: bool, seconds: float, ended: Path) -> Callable[..., Any]:
    """The stage, which notes its end, and if it is `deadly`, kills the process after some seconds."""

    def run(*arguments: Any, **values: Any) -> Any:
        if deadly:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        began = time.monotonic()
        result = stage(*arguments, **values)
        with ended.open("a") as file:
            file.write(f"{name} {time.monotonic() - began:.4f}\n")
        return result

    return run


def main() -> None:
    """Run, and perhaps die."""
    values, deadly, seconds, ended = json.loads(sys.argv[1]), sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])
    config = PurifyConfig.model_validate(values["config"])
    request = RunRequest.of(values["source"], values["out"], config, embeddings=values.get("embeddings"))
    run, plain = RunFolder.at(request.run_folder), Steps()
    steps = Steps(
        **{
            one.name: watched(
                one.name, getattr(plain, one.name), deadly=one.name == deadly, seconds=seconds, ended=ended
            )
            for one in fields(Steps)
        }
    )
    with run.lock(), threads(config.train.parallel) as pool:
        bring_up_to_date(run, request, pool, steps=steps)


if __name__ == "__main__":
    main()
