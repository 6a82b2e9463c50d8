"""Fault points: harmless unless armed, exact when armed."""

import os
import threading
import time

import pytest
from weighhouse.core.faults import FaultPlanError, fault_point, faults_arm


@pytest.fixture(autouse=True)
def disarmed(tmp_path):
    yield
    faults_arm([], directory=tmp_path)


def wait_for(path) -> None:
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_fault_point_that_is_not_armed_returns_and_writes_nothing(tmp_path):
    faults_arm(["some.other"], directory=tmp_path)
    fault_point("this.one")
    assert list(tmp_path.iterdir()) == []


def test_fault_point_blocks_with_its_process_id_until_the_file_is_deleted_and_then_stays_disarmed(tmp_path):
    faults_arm(["a.point"], directory=tmp_path)
    thread = threading.Thread(target=fault_point, args=("a.point",), daemon=True)
    thread.start()
    acknowledgement = tmp_path / "a.point"
    wait_for(acknowledgement)
    assert int(acknowledgement.read_text()) == os.getpid()
    thread.join(0.1)
    assert thread.is_alive()
    acknowledgement.unlink()
    thread.join(5)
    assert not thread.is_alive()
    fault_point("a.point")
    assert list(tmp_path.iterdir()) == []


def test_fault_point_with_a_count_lets_earlier_passes_through(tmp_path):
    faults_arm(["a.point:3"], directory=tmp_path)
    fault_point("a.point")
    fault_point("a.point")
    assert list(tmp_path.iterdir()) == []
    thread = threading.Thread(target=fault_point, args=("a.point",), daemon=True)
    thread.start()
    wait_for(tmp_path / "a.point")
    (tmp_path / "a.point").unlink()
    thread.join(5)


@pytest.mark.parametrize("point", ["", "../etc", "a/b", "a.", ".a", "a b", "a:0", "a:-1", "a:x", "a:1:2", ":1"])
def test_fault_plan_with_an_unsafe_name_or_count_is_refused(tmp_path, point):
    with pytest.raises(FaultPlanError):
        faults_arm([point], directory=tmp_path)
