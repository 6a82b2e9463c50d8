"""What the demo keeps between starts, piece by piece."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tools.demo.chain_state import ChainState
from tools.demo.config import config_known, config_load
from tools.demo.lock import AlreadyRunningError, lock_owner, lock_take, process_started
from tools.demo.supervisor import process_table

WHOLE = json.dumps({"block": {"number": "0x7"}, "accounts": {}})


def test_chain_state_cut_off_by_a_kill_is_replaced_by_the_last_complete_copy(tmp_path: Path) -> None:
    state = ChainState(tmp_path)
    state.live.write_text(WHOLE)
    assert state.keep()
    state.live.write_text(WHOLE[:20])
    assert not state.keep()

    note = ChainState(tmp_path).restore()

    assert note is not None
    assert "last complete copy" in note
    assert state.live.read_text() == WHOLE


@pytest.mark.parametrize("text", ["", "[]", "\x00\xff"])
def test_chain_state_broken_without_a_copy_starts_anew_and_says_so(tmp_path: Path, text: str) -> None:
    state = ChainState(tmp_path)
    state.live.write_text(text)
    assert "starts anew" in str(state.restore())
    assert not state.live.exists()


def test_chain_state_that_is_complete_is_left_alone(tmp_path: Path) -> None:
    state = ChainState(tmp_path)
    assert state.restore() is None
    state.live.write_text(WHOLE)
    assert state.restore() is None
    assert state.keep()
    assert not state.keep()


def test_lock_taken_twice_is_refused_and_names_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "demo" / "lock"
    code = (
        "import sys, time; from pathlib import Path; from tools.demo.lock import lock_take;"
        "lock_take(Path(sys.argv[1])); print('taken', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"taken\n"
    with pytest.raises(AlreadyRunningError) as refusal:
        lock_take(path)
    assert refusal.value.owner is not None
    assert refusal.value.owner.pid == holder.pid
    assert refusal.value.owner.started == process_started(holder.pid)

    holder.kill()
    holder.wait()

    assert lock_owner(path) is None
    lock_take(path)


def test_lock_owner_whose_process_id_was_reused_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": 1, "started": (process_started(1) or 0) + 1}))
    assert lock_owner(path) is None


def test_web_has_threads_for_more_than_a_handful_of_idle_connections(tmp_path: Path) -> None:
    table = process_table(config_load(tmp_path), samples=False)
    (web,) = [command for name, _stage, command in table if name == "web"]
    image = (Path(__file__).parents[2] / "Dockerfile").read_text()
    assert int(web[web.index("--threads") + 1]) >= 64
    assert '"--threads", "64"' in image


@pytest.mark.parametrize("is_new", [True, False])
def test_state_directory_and_its_database_are_closed_to_other_accounts(tmp_path: Path, is_new: bool) -> None:
    var = tmp_path / "var"
    if not is_new:
        var.mkdir()
        (var / "weighhouse.sqlite3").write_bytes(b"kept")
    os.close(lock_take(var / "demo" / "lock"))
    config_load(var)
    assert stat.S_IMODE((var / "weighhouse.sqlite3").stat().st_mode) == 0o600
    assert (var / "weighhouse.sqlite3").read_bytes() == (b"" if is_new else b"kept")
    # A directory that was there before may be shared on purpose; what the demo makes is not.
    assert stat.S_IMODE(var.stat().st_mode) == 0o700 or not is_new


def test_config_loaded_again_keeps_ports_and_secrets_and_shows_them_to_nobody(tmp_path: Path) -> None:
    first = config_load(tmp_path)
    assert config_load(tmp_path) == first == config_known(tmp_path)
    assert len({first.web_port, first.chain_port, first.broker_port}) == 3
    assert stat.S_IMODE((tmp_path / "demo").stat().st_mode) == 0o700
    for name in ("ports.json", "secrets.json", "environment"):
        assert stat.S_IMODE((tmp_path / "demo" / name).stat().st_mode) == 0o600


def test_config_whose_port_was_taken_chooses_another(tmp_path: Path) -> None:
    first = config_load(tmp_path)
    with socket.create_server(("127.0.0.1", first.web_port)):
        second = config_load(tmp_path)
    assert second.web_port != first.web_port
    assert second.chain_port == first.chain_port
    assert second.secret_key == first.secret_key


def test_config_with_a_broken_file_chooses_anew(tmp_path: Path) -> None:
    first = config_load(tmp_path)
    (tmp_path / "demo" / "ports.json").write_text("{")
    assert config_load(tmp_path).secret_key == first.secret_key


def test_environment_carries_no_foreign_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHHOUSE_RPC_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("WEIGHHOUSE_FAULTS", "worker.during_job")
    config = config_load(tmp_path)
    assert config.environment()["WEIGHHOUSE_RPC_URL"] == config.rpc_url
    assert "WEIGHHOUSE_FAULTS" not in config.environment()


def test_states_of_a_node_that_was_killed_are_gone_at_the_next_start(tmp_path):
    state = ChainState(tmp_path)
    (state.older / "anvil-state-1").mkdir(parents=True)
    assert state.restore() is None
    assert not state.older.exists()
