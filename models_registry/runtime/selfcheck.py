"""Attack this machine's sandbox. `manage.py sandbox_check` prints what happened; a worker asks before it serves.

Every attack goes through the production launch function; the payload alone is replaced.
"""

import logging
import os
import secrets
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from models_registry.runtime import attacks, command, sandbox
from models_registry.runtime.errors import SandboxUnavailable
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.plan import Plan
from models_registry.runtime.specs import MIB, SandboxConfig
from models_registry.runtime.wire import FrameError

logger = logging.getLogger(__name__)

# A spare is attacked where a model would be in it: after the lock, with a release that was mounted later.
_ENTRIES = {
    "start": f"{attacks.__name__}:start",
    "locked": f"{attacks.__name__}:locked",
    "spare": f"{attacks.__name__}:locked_early",
}
_REPLY_LIMIT = 65_536
_SPARE_TRIES = 3
_ATTACK_S = 60.0
_BOMB_MEMORY = 512 * MIB


@dataclass(frozen=True)
class Outcome:
    """One attack in one stage. `refused`, `ended` (its process was), `SUCCEEDED`, or nothing that is known."""

    stage: str
    name: str
    outcome: str
    detail: str

    @property
    def is_held(self) -> bool:
        """Only what is known to have failed: an attack that gave no answer may have worked."""
        return self.outcome in ("refused", "ended")


def check(plan: Plan, *, files: Sequence[Path] = ()) -> list[Outcome]:
    """Run every attack in every stage in which it must fail.

    `files` are further files that must not be readable inside: the site's database, say.
    Raises SandboxUnavailable when a payload does not start.
    """
    with ExitStack() as stack:
        launcher = Launcher()
        stack.callback(launcher.close)
        stage = _Stage(plan, launcher, stack.enter_context(bait(plan, files)))
        outcomes = [outcome for name in ("start", "locked") for outcome in stage.together(name)]
        outcomes += _spare_outcomes(stage)
        return outcomes + [stage.alone(attack) for attack in attacks.FATAL]


def _spare_outcomes(stage: "_Stage") -> list[Outcome]:
    """The attacks on a spare; none where spares are not possible here, so that no worker keeps any.

    What fails for a passing reason is tried again: spares must not serve because nobody came to attack them.
    """
    for _ in range(_SPARE_TRIES):
        try:
            return list(stage.together("spare"))
        except sandbox.NotGivenError as error:
            if not error.is_permitted:
                logger.warning("Spare runners are not possible here, and were not attacked: %s", error)
                return []
            last = error
    raise SandboxUnavailable(f"A spare runner could not be attacked, so nothing is known of it: {last} Start again.")


class _Stage:
    """Runs attacks against one plan."""

    def __init__(self, plan: Plan, launcher: Launcher, bait: tuple[Path, attacks.Facts]) -> None:
        self._plan, self._launcher = plan, launcher
        self._model, self._facts = bait

    def together(self, name: str) -> Iterator[Outcome]:
        """The harmless ones of a stage, one after the other in one process; in another after one that ended it."""
        expected = "locked" if name == "spare" else name
        process = None
        try:
            for attack in attacks.ATTACKS:
                if expected not in attack.stages:
                    continue
                process = process or self._launch(self._plan, name)
                outcome = self._attack(process, attack, name)
                if outcome.outcome != "refused":
                    process.close()
                    process = None
                yield outcome
        finally:
            if process is not None:
                process.close()

    def alone(self, attack: attacks.Attack) -> Outcome:
        """One that may end its process, in a small sandbox of its own."""
        config = replace(self._plan.config, memory_bytes=_BOMB_MEMORY)
        process = self._launch(replace(self._plan, config=config), "spare", is_given=False)
        try:
            return self._attack(process, attack, "locked")
        finally:
            process.close()

    def _launch(self, plan: Plan, stage: str, *, is_given: bool = True) -> sandbox.Process:
        is_spare = stage == "spare" and is_given
        model = None if is_spare else self._model
        process = sandbox.launch(plan, self._launcher, entry=_ENTRIES[stage], model=model)
        until = time.monotonic() + plan.config.start_timeout_s
        try:
            process.channel.send(sandbox.begin_options(plan), until=until)
            if stage != "start":
                process.channel.receive(limit=_REPLY_LIMIT, until=until)
            if is_spare:
                sandbox.give(plan, process, self._model)
        except (OSError, EOFError, FrameError) as error:
            process.close()
            raise SandboxUnavailable(f"A payload did not start: {process.log.last_line()}") from error
        except sandbox.NotGivenError:
            process.close()
            raise
        return process

    def _attack(self, process: sandbox.Process, attack: attacks.Attack, stage: str) -> Outcome:
        until = time.monotonic() + _ATTACK_S
        facts = {**self._facts, "channel": process.inner_descriptor}
        if attack in attacks.FATAL:
            facts["memory_bytes"] = _BOMB_MEMORY
        try:
            process.channel.send({"attack": attack.name, "facts": facts}, until=until)
            answer = process.channel.receive(limit=_REPLY_LIMIT, until=until)
        except TimeoutError:
            return Outcome(stage, attack.name, "no answer", f"within {_ATTACK_S:.0f} s")
        except FrameError as error:
            return Outcome(stage, attack.name, "no answer", f"but {error}"[:200])
        except (EOFError, OSError) as error:
            # An attack that ends its process is held if the host still decides what happens.
            reason = "out of memory" if process.ran_out_of_memory() else type(error).__name__
            return Outcome(stage, attack.name, "ended", reason)
        return Outcome(stage, attack.name, str(answer.get("outcome"))[:20], str(answer.get("detail"))[:200])


@contextmanager
def bait(plan: Plan, files: Sequence[Path]) -> Iterator[tuple[Path, attacks.Facts]]:
    """A model to bind, and facts about things outside that an attack would love to reach.

    The control run of the tests uses it too: where there is no sandbox, these things are found.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as abstract,
    ):
        udp.bind(("127.0.0.1", 0))
        abstract_name = f"weighhouse-selfcheck-{secrets.token_hex(8)}"
        abstract.bind("\0" + abstract_name)
        abstract.listen()
        model, other = (_release(Path(directory) / name) for name in ("model", "other"))
        options = sandbox.begin_options(plan)
        yield (
            model,
            {
                "tcp_port": tcp.getsockname()[1],
                "udp_port": udp.getsockname()[1],
                "abstract_name": abstract_name,
                "host_pid": os.getpid(),
                "files": [str(other / "config.json"), *map(str, files), *_files_at_home()],
                "foreign_variables": sorted(set(os.environ) - command.VARIABLES),
                "readable": options["readable"],
                "scratch_bytes": plan.config.scratch_bytes + plan.config.shared_memory_bytes,
                "memory_bytes": plan.config.memory_bytes,
                "processes": plan.config.processes,
            },
        )


def _release(directory: Path) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    # Anybody might write here: only the mount keeps the runner from it.
    (directory / "config.json").chmod(0o666)
    directory.chmod(0o777)
    return directory


def _files_at_home() -> list[str]:
    """Some files of whoever runs this, as examples of what is private."""
    try:
        return [str(path) for path in sorted(Path.home().iterdir()) if path.is_file()][:10]
    except (OSError, RuntimeError):  # RuntimeError: a user without an account has no home
        return []


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as aligned lines, failures last; system calls that were refused are counted in one line."""
    calls = Counter(row.stage for row in outcomes if row.is_held and row.name.startswith(attacks.CALL_PREFIX))
    rows = [row for row in outcomes if not (row.is_held and row.name.startswith(attacks.CALL_PREFIX))]
    rows += [Outcome(stage, f"{count} forbidden system calls", "refused", "") for stage, count in calls.items()]
    rows.sort(key=lambda row: (not row.is_held, list(_ENTRIES).index(row.stage)))
    width = max(len(row.name) for row in rows)
    return "\n".join(f"{row.stage:<7} {row.name:<{width}} {row.outcome:<10} {row.detail}".rstrip() for row in rows)


def report(config: SandboxConfig, *, files: Sequence[Path] = ()) -> int:
    """Check, print, and return the exit status: 0 held, 1 an attack succeeded, 2 no sandbox."""
    try:
        plan = sandbox.require(config)
        outcomes = check(plan, files=files)
    except SandboxUnavailable as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    failed = [outcome for outcome in outcomes if not outcome.is_held]
    sys.stdout.write(f"{table(outcomes)}\n\n{plan.isolation}: {len(outcomes)} attacks, {len(failed)} succeeded\n")
    return 1 if failed else 0
