"""The supervisor itself: honcho, with a table of the site's processes.

One of them, `site`, brings the others up in order (`bring_up`). Where one process ends, honcho ends all: half a site
would accept money for calls that nobody serves. The node alone is started again (`node`): a site outlives its node.
"""

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from multiprocessing import set_start_method
from pathlib import Path
from typing import Any, TextIO

from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.process import Process

from tools.demo import binaries, isolation
from tools.demo.chain_state import ChainState
from tools.demo.config import CHAIN_ID, DemoConfig, config_known, write_private

# Block time of the public chain. A transaction is mined at once; the rest keeps the chain's clock going.
BLOCK_TIME_S = 12
_TAIL_LINES = 15


def main() -> int:
    var, samples, isolated = Path(sys.argv[1]), sys.argv[2] == "samples", sys.argv[3] == "namespace"
    # honcho's processes must be forked by this one's main thread, whose death their death signal is bound to.
    set_start_method("fork")
    config = config_known(var)
    _prepare_directories(config)
    manager = Manager(printer=DemoPrinter(config.logs))
    # honcho has no public way to choose the class of its processes.
    manager._process_ctor = BoundProcess
    for name, stage, command in process_table(config, samples=samples):
        manager.add_process(
            name, _command_line(config, stage, command), env=_environment(config, name), cwd=str(binaries.ROOT)
        )
    if not isolated:
        print("(no PID namespace here: processes are bound to the supervisor by death signals)", flush=True)
    manager.loop()
    return manager.returncode or 0


def process_table(config: DemoConfig, *, samples: bool) -> list[tuple[str, str | None, Sequence[str]]]:
    """Name, stage that must be reached before the start, and command of each process."""
    python = [sys.executable]
    web = f"127.0.0.1:{config.web_port}"
    anvil = ["--host", "127.0.0.1", "--port", str(config.chain_port), "--chain-id", str(CHAIN_ID), "--no-cors"]
    anvil += ["--mixed-mining", "--block-time", str(BLOCK_TIME_S), "--quiet"]
    state = ChainState(config.directory)
    anvil += ["--state", str(state.live), "--state-interval", "1", "--cache-path", str(state.older)]
    # More threads than requests may wait for jobs (JOB_STREAMS_PER_PROCESS): pages go on however many wait.
    gunicorn = ["--bind", web, "--worker-class", "gthread", "--workers", "1", "--threads", "64"]
    gunicorn += ["--timeout", "120", "--graceful-timeout", "3", "--access-logfile", "-"]
    celery = [*python, "-m", "celery", "-A", "marketplace"]
    # Threads mostly wait for a runner, and those that wait together are answered together.
    worker = ["--pool", "threads", "--concurrency", "16", "-Q", "inference,default,webhooks", "-n", "worker@demo"]
    # Of its own: a flood of releases to check must not hold up jobs and chores.
    intake = ["--pool", "threads", "--concurrency", "1", "-Q", "intake,fetch", "-n", "intake@demo"]
    beat = ["--schedule", str(config.directory / "beat"), "--pidfile", ""]
    bring_up = [*python, "-m", "tools.demo.bring_up", str(config.var), "samples" if samples else "empty"]
    return [
        ("site", None, bring_up),
        ("chain", None, [*python, "-m", "tools.demo.node", str(config.var), binaries.anvil(), *anvil]),
        ("broker", None, [binaries.broker(), str(config.directory / "broker.conf")]),
        ("indexer", "prepared", [*python, "manage.py", "index_chain"]),
        ("sender", "prepared", [*python, "manage.py", "send_transactions"]),
        ("web", "prepared", [*python, "-m", "gunicorn", "marketplace.wsgi", *gunicorn]),
        ("worker", "prepared", [*celery, "worker", *worker, "--loglevel", "INFO"]),
        ("intake", "prepared", [*celery, "worker", *intake, "--loglevel", "INFO"]),
        ("beat", "prepared", [*celery, "beat", *beat, "--loglevel", "INFO"]),
    ]


class BoundProcess(Process):
    """honcho's process, which ends with the supervisor instead of being left behind by its SIGKILL."""

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        isolation.die_with_parent()
        super().run(events, ignore_signals)


class DemoPrinter:
    """Shows what `site` says, and keeps what the others say in a log file each.

    When one of them ends unasked, its last lines are shown: they are the reason why the site stops.
    """

    def __init__(self, logs: Path) -> None:
        self.width = 0
        self._logs = logs
        self._files: dict[str, TextIO] = {}
        self._stopping = False

    def write(self, message: Any) -> None:
        text = message.data.decode(errors="replace") if isinstance(message.data, bytes) else message.data
        if message.name == SYSTEM_PRINTER_NAME:
            self._system(text.strip())
        elif message.name == "site":
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            self._log(message.name, text)

    def _system(self, text: str) -> None:
        self._log("supervisor", f"{text}\n")
        name, _, rest = text.partition(" stopped ")
        if text.endswith("received"):
            if not self._stopping:
                print("Stopping.", flush=True)
            self._stopping = True
        elif rest and not self._stopping:
            self._stopping = True
            print(f"\n{name} ended {rest}, so the site stops.", flush=True)
            if name != "site":
                print(f"Its last lines, of {self._path(name)}:", *self._tail(name), sep="\n    ", flush=True)

    def _log(self, name: str, text: str) -> None:
        if name not in self._files:
            self._files[name] = self._path(name).open("a", buffering=1)
        self._files[name].write(text)

    def _tail(self, name: str) -> list[str]:
        path = self._path(name)
        return path.read_text().splitlines()[-_TAIL_LINES:] if path.exists() else []

    def _path(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _prepare_directories(config: DemoConfig) -> None:
    for directory in (config.logs, config.stages, config.directory / "broker"):
        directory.mkdir(parents=True, exist_ok=True)
    for stage in config.stages.iterdir():
        stage.unlink()
    config.ready_file.unlink(missing_ok=True)
    for log in config.logs.glob("*.log"):
        log.replace(log.with_suffix(".previous"))
    note = ChainState(config.directory).restore()
    if note:
        print(note, flush=True)
    lines = (
        "bind 127.0.0.1",
        f"port {config.broker_port}",
        f"requirepass {config.broker_password}",
        f'dir "{config.directory / "broker"}"',
        "appendonly yes",
        'save ""',
    )
    write_private(config.directory / "broker.conf", "\n".join(lines) + "\n")


def _environment(config: DemoConfig, name: str) -> dict[str, str]:
    # The node is the child of the one that starts it again.
    process = "node-keeper" if name == "chain" else name
    return {**os.environ, "DEMO_PROCESS": process, "DEMO_VAR": str(config.var)}


def _command_line(config: DemoConfig, stage: str | None, command: Sequence[str]) -> str:
    bound = shlex.join(["setpriv", "--pdeathsig", "KILL", *command])
    if stage is None:
        return f"exec {bound}"
    marker = shlex.quote(str(config.stages / stage))
    return f"while [ ! -e {marker} ]; do sleep 0.1; done; exec {bound}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
