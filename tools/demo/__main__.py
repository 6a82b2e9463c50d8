"""`python -m tools.demo`: run a whole site here until Ctrl-C.

1. Take the lock of the state directory; a lock of a dead supervisor is free.
2. Choose ports, secrets and the way in which processes are tied together (`isolation`).
3. Start the supervisor (`supervisor`) in it, and pass signals on to it.
4. Wait for its end, and return its exit status; 0 when somebody asked for the end.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tools.demo import binaries, isolation
from tools.demo.config import DemoConfig, config_load
from tools.demo.lock import AlreadyRunningError, lock_take

# The supervisor gives its processes 5 s before it kills them.
_STOP_WAIT_S = 12.0


def main() -> int:
    options = _arguments()
    if options.with_parent:
        isolation.die_with_parent(sent=signal.SIGTERM)
    var = options.var.resolve()
    try:
        for program in (binaries.anvil, binaries.broker, binaries.bubblewrap):
            program()
        lock = lock_take(var / "demo" / "lock")
    except (AlreadyRunningError, binaries.MissingProgramError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 2
    config = config_load(var)
    config.ready_file.unlink(missing_ok=True)
    try:
        return _run(config, lock=lock, samples=options.samples, namespaced=options.namespace)
    finally:
        config.ready_file.unlink(missing_ok=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description="Run a whole site on this machine.")
    parser.add_argument("--var", type=Path, default=binaries.ROOT / "var", help="state directory (default: var)")
    parser.add_argument("--no-samples", dest="samples", action="store_false", help="publish no sample models")
    parser.add_argument("--with-parent", action="store_true", help="stop when the process that started this one ends")
    parser.add_argument("--no-namespace", dest="namespace", action="store_false", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(config: DemoConfig, *, lock: int, samples: bool, namespaced: bool) -> int:
    namespace = isolation.namespace_command() if namespaced else []
    inside = [sys.executable, "-m", "tools.demo.supervisor", str(config.var), "samples" if samples else "empty"]
    inside.append("namespace" if namespace else "signals")
    # A session of its own: a Ctrl-C in the terminal reaches this process alone, which passes it on once.
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *namespace, *inside],
        cwd=binaries.ROOT,
        env={**config.environment(), "DEMO_STARTER": str(os.getpid())},
        pass_fds=[lock],
        start_new_session=True,
    )
    return _wait(child, namespaced=bool(namespace))


def _wait(child: subprocess.Popen[bytes], *, namespaced: bool) -> int:
    asked_at: list[float] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        asked_at.append(time.monotonic())
        _pass_on(child, namespaced=namespaced)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    while True:
        try:
            status = child.wait(0.5)
        except subprocess.TimeoutExpired:
            if asked_at and time.monotonic() - asked_at[0] > _STOP_WAIT_S:
                child.kill()
            elif asked_at:
                # A signal that came before the supervisor had its handlers was lost.
                _pass_on(child, namespaced=namespaced)
            continue
        return 0 if asked_at else status


def _pass_on(child: subprocess.Popen[bytes], *, namespaced: bool) -> None:
    """`unshare` blocks SIGTERM, so the signal goes to the first process inside."""
    targets = isolation.children_of(child.pid) if namespaced else [child.pid]
    for pid in targets or [child.pid]:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    sys.exit(main())
