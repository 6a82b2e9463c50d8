import subprocess
import threading

import pytest

from models_registry.runtime.launcher import Launcher
from tests.runtime.support import eventually

SLEEPER = ["setpriv", "--pdeathsig", "KILL", "sleep", "60"]


def in_passing_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


@pytest.fixture
def launcher():
    launcher = Launcher()
    yield launcher
    launcher.close()


def test_process_started_by_the_launcher_outlives_the_asking_thread(launcher):
    sleeper = in_passing_thread(lambda: launcher.call(lambda: subprocess.Popen(SLEEPER)))
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.5)
    sleeper.kill()
    sleeper.wait()


def test_process_started_by_a_passing_thread_dies_with_it():
    """The trap that the launcher is for; if the kernel ever changes, the launcher can go."""

    def start() -> subprocess.Popen[bytes]:
        started = subprocess.Popen(SLEEPER)
        eventually(lambda: False, within_s=0.5)  # setpriv asks for the signal before it becomes sleep
        return started

    sleeper = in_passing_thread(start)
    assert eventually(lambda: sleeper.poll() is not None), "it lives"


def test_closing_the_launcher_ends_what_it_started():
    launcher = Launcher()
    sleeper = launcher.call(lambda: subprocess.Popen(SLEEPER))
    eventually(lambda: False, within_s=0.3)  # setpriv asks for the signal before it becomes sleep
    launcher.close()
    assert eventually(lambda: sleeper.poll() is not None)


def test_error_of_the_call_reaches_the_caller(launcher):
    with pytest.raises(FileNotFoundError):
        launcher.call(lambda: subprocess.Popen(["/nonexistent/program"]))


def test_closed_launcher_refuses():
    launcher = Launcher()
    launcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        launcher.call(lambda: 1)
