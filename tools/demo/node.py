"""The development node, started again when it ends unasked: a site has to live through its node's death.

`python -m tools.demo.node VAR COMMAND...` runs the command. Pages say meanwhile that the node does not answer.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tools.demo.chain_state import ChainState
from tools.demo.config import config_known

# Long enough to see what a site looks like without its node.
RESTART_AFTER_S = 10.0
# A node that does not stay up is no passing trouble: the site stops and shows why.
STARTS_MOST, WITHIN_S = 5, 120.0


def main() -> int:
    config, command = config_known(Path(sys.argv[1])), sys.argv[2:]
    starts: list[float] = []
    while len([start for start in starts if time.monotonic() - start < WITHIN_S]) < STARTS_MOST:
        starts.append(time.monotonic())
        asked, status = _run(command)
        if asked:
            return status
        print(f"The node ended with {status}. It is started again in {RESTART_AFTER_S:.0f} s.", flush=True)
        time.sleep(RESTART_AFTER_S)
        note = ChainState(config.directory).restore()
        if note:
            print(note, flush=True)
    print(f"The node ended {STARTS_MOST} times within {WITHIN_S:.0f} s.", flush=True)
    return 1


def _run(command: list[str]) -> tuple[bool, int]:
    """Run the node to its end: whether that was asked for, and its status."""
    asked = False
    environment = {**os.environ, "DEMO_PROCESS": "chain"}
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], env=environment)

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        process.terminate()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    status = process.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return asked, status


if __name__ == "__main__":
    sys.exit(main())
