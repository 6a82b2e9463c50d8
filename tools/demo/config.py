"""What a local site consists of: directories, ports, secrets, and the environment of its processes.

Everything lives below one state directory and is kept between starts, so that a restart keeps the address where its
port is still free.
"""

import base64
import json
import os
import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path

from tools.demo import binaries, ports

CHAIN_ID = 31337
DATABASE_NAME = "weighhouse.sqlite3"
PREFERRED_PORTS = {"web": 8000, "chain": 8545, "broker": 6380}


@dataclass(frozen=True)
class DemoConfig:
    """A site's addresses and files."""

    var: Path
    web_port: int
    chain_port: int
    broker_port: int
    secret_key: str
    payload_key: str
    broker_password: str

    @property
    def site_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.chain_port}"

    @property
    def broker_url(self) -> str:
        return f"redis://:{self.broker_password}@127.0.0.1:{self.broker_port}/0"

    @property
    def directory(self) -> Path:
        """The supervisor's own files: lock, ports, secrets, logs, chain state."""
        return self.var / "demo"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def stages(self) -> Path:
        """One empty file per stage that this start has reached."""
        return self.directory / "stages"

    @property
    def ready_file(self) -> Path:
        return self.directory / "ready.json"

    def environment(self) -> dict[str, str]:
        """The environment of every process: this machine's, without foreign WEIGHHOUSE_ values, plus the site's."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("WEIGHHOUSE_") or name.startswith(("WEIGHHOUSE_LOG_", "WEIGHHOUSE_SANDBOX_"))
        }
        return {**inherited, **self.settings(), "PYTHONUNBUFFERED": "1"}

    def settings(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "marketplace.settings",
            "WEIGHHOUSE_DEMO": "true",
            "WEIGHHOUSE_SECRET_KEY": self.secret_key,
            "WEIGHHOUSE_PAYLOAD_KEY": self.payload_key,
            "WEIGHHOUSE_VAR_DIR": str(self.var),
            "WEIGHHOUSE_DATABASE_URL": f"sqlite:///{self.var / DATABASE_NAME}",
            "WEIGHHOUSE_STATIC_ROOT": str(self.var / "static"),
            "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(self.var / "deployments"),
            "WEIGHHOUSE_BROKER_URL": self.broker_url,
            "WEIGHHOUSE_RPC_URL": self.rpc_url,
            "WEIGHHOUSE_WS_URL": self.rpc_url.replace("http://", "ws://", 1),
            "WEIGHHOUSE_CHAIN_ID": str(CHAIN_ID),
            "WEIGHHOUSE_SANDBOX_BWRAP": binaries.bubblewrap(),
            "WEIGHHOUSE_SITE_URL": self.site_url,
            "WEIGHHOUSE_ALLOWED_HOSTS": "127.0.0.1,localhost",
        }


def config_load(var: Path) -> DemoConfig:
    """The site of the state directory `var`: what an earlier start chose, and new values for the rest.

    Only the holder of the lock may call this: it chooses ports and writes files.
    """
    directory = var / "demo"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    # SQLite gives its journals the mode of the database, and makes that one readable by everybody.
    database = var / DATABASE_NAME
    database.touch(mode=0o600)
    database.chmod(0o600)
    kept_ports = _read(directory / "ports.json")
    kept_secrets = _read(directory / "secrets.json")
    # The usual ports are for the usual site: several started at once elsewhere would race for them.
    usual = PREFERRED_PORTS if var == binaries.ROOT / "var" else dict.fromkeys(PREFERRED_PORTS)
    chosen = {name: ports.free_port(preferred=kept_ports.get(name, port)) for name, port in usual.items()}
    kept_secrets.setdefault("secret_key", secrets.token_urlsafe(50))
    kept_secrets.setdefault("payload_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    kept_secrets.setdefault("broker_password", secrets.token_urlsafe(24))
    write_private(directory / "ports.json", json.dumps(chosen))
    write_private(directory / "secrets.json", json.dumps(kept_secrets))
    config = config_known(var)
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in config.settings().items())
    write_private(directory / "environment", "".join(lines))
    return config


def config_known(var: Path) -> DemoConfig:
    """The site of `var` as `config_load` chose it."""
    chosen, kept = _read(var / "demo" / "ports.json"), _read(var / "demo" / "secrets.json")
    return DemoConfig(
        var=var,
        web_port=chosen["web"],
        chain_port=chosen["chain"],
        broker_port=chosen["broker"],
        secret_key=kept["secret_key"],
        payload_key=kept["payload_key"],
        broker_password=kept["broker_password"],
    )


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file that only its owner can read, in one step: a reader sees the old or the new text."""
    draft = path.with_suffix(path.suffix + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    draft.replace(path)


def _read(path: Path) -> dict:
    try:
        values = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
