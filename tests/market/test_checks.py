"""Each unsafe setting is refused with a number and a hint; the demo on one machine is not."""

import sys

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks

SAFE = {
    "DEMO": False,
    "DEMO_WALLET": False,
    "SANDBOX_ALLOW_DEGRADED": False,
    "SECRET_KEY": "s" * 60,
    "PAYLOAD_KEY": Fernet.generate_key().decode(),
    "SITE_URL": "https://weighhouse.example",
    "ALLOWED_HOSTS": ["weighhouse.example"],
}


def found(settings, **changes) -> list[str]:
    for name, value in {**SAFE, **changes}.items():
        setattr(settings, name, value)
    messages = run_checks(tags=["site"])
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def test_checks_of_a_safe_site_find_nothing(settings):
    assert found(settings) == []


def test_checks_of_the_demo_on_loopback_find_nothing(settings):
    demo = {"DEMO": True, "SANDBOX_ALLOW_DEGRADED": True, "SITE_URL": "http://127.0.0.1:8000"}
    assert found(settings, **demo, ALLOWED_HOSTS=["127.0.0.1", "localhost", "[::1]"]) == []


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"SECRET_KEY": ""}, "site.E001"),
        ({"SECRET_KEY": "short"}, "site.E001"),
        ({"PAYLOAD_KEY": ""}, "site.E002"),
        ({"PAYLOAD_KEY": "not a key"}, "site.E002"),
        ({"PAYLOAD_KEY": f"{SAFE['PAYLOAD_KEY']},zzz"}, "site.E002"),
        ({"DEMO": True}, "site.E003"),
        ({"DEMO": True, "SITE_URL": "http://127.0.0.1", "ALLOWED_HOSTS": ["*"]}, "site.E003"),
        ({"DEMO": True, "SITE_URL": "http://127.0.0.1", "ALLOWED_HOSTS": ["192.168.1.7"]}, "site.E003"),
        ({"ALLOWED_HOSTS": []}, "site.E004"),
        ({"ALLOWED_HOSTS": ["*"]}, "site.E004"),
        ({"SITE_URL": "http://weighhouse.example"}, "site.E005"),
        ({"DEBUG": True}, "site.E006"),
        ({"SANDBOX_ALLOW_DEGRADED": True}, "site.E007"),
    ],
)
def test_checks_of_an_unsafe_site_find_it(settings, changes, number):
    assert found(settings, **changes) == [number]


def test_checks_show_no_key(settings, capsys):
    found(settings, PAYLOAD_KEY="sensitive-but-malformed", SECRET_KEY="sensitive")
    assert all("sensitive" not in str(message) for message in run_checks(tags=["site"]))


@pytest.mark.parametrize(
    "argv",
    [
        ["manage.py", "check"],
        ["-m", "gunicorn", "marketplace.wsgi", "--bind", "127.0.0.1:0"],
        ["-m", "celery", "-A", "marketplace", "worker", "--pool", "threads", "-Q", "default"],
    ],
    ids=["manage", "web", "worker"],
)
def test_site_outside_the_demo_without_its_secrets_does_not_start(spawn, argv):
    unset = {"WEIGHHOUSE_DEMO": "false", "WEIGHHOUSE_SECRET_KEY": "short", "WEIGHHOUSE_PAYLOAD_KEY": ""}
    process = spawn("unsafe", [sys.executable, *argv], env=unset)
    assert process.process.wait(60) != 0
    assert "site.E001" in process.output()
    assert "site.E002" in process.output()
