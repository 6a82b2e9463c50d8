"""The fixtures that other tests stand on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from tests.fixtures.processes import Anvil, Broker, ProcessFailedError, Spawned
from tools.demo import binaries, ports


def test_anvil_fixture_is_the_chain_that_settings_name(anvil: Anvil) -> None:
    assert anvil.url == settings.RPC_URLS[0]
    assert int(anvil.rpc("eth_chainId"), 16) == settings.CHAIN_ID
    assert len(anvil.accounts) == 10


def test_broker_fixture_answers_as_the_process_that_was_started(broker: Broker) -> None:
    with broker.client() as client:
        assert client.info("server")["process_id"] == broker.spawned.pid


def test_listens_tells_our_listener_from_a_foreign_one(broker: Broker) -> None:
    port = int(settings.BROKER_URL.rpartition(":")[2].partition("/")[0])
    assert ports.listens(broker.spawned.pid, port)
    assert not ports.listens(os.getpid(), port)
    assert not ports.is_free(port)


def test_make_anvil_on_an_occupied_port_fails_instead_of_using_the_other_process(
    broker: Broker, make_anvil: Callable[..., Anvil]
) -> None:
    port = int(settings.BROKER_URL.rpartition(":")[2].partition("/")[0])
    with pytest.raises(ProcessFailedError):
        make_anvil(port=port)


def test_spawned_process_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.fixtures.processes import start_process;"
        "print(start_process('sleeper', ['sleep', '600'], directory=Path(sys.argv[1])).pid, flush=True);"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}/comm").exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def test_child_process_sees_the_database_and_chain_of_the_test(
    transactional_db: None, spawn: Callable[..., Spawned]
) -> None:
    code = (
        "from django.conf import settings; import django; django.setup();"
        "from django.contrib.sessions.models import Session;"
        "print(Session.objects.count(), settings.RPC_URLS[0], settings.DATABASES['default']['NAME'])"
    )
    child = spawn("probe", [sys.executable, "-c", code])
    assert child.process.wait(60) == 0, child.output()
    assert child.output().split() == ["0", settings.RPC_URLS[0], str(settings.DATABASES["default"]["NAME"])]


def test_binaries_name_what_to_install_when_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(binaries, "_from_wheel", lambda module, program: None)
    with pytest.raises(binaries.MissingProgramError, match="apt-get install bubblewrap"):
        binaries.bubblewrap()
    with pytest.raises(binaries.MissingProgramError, match="redis-server"):
        binaries.broker()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
