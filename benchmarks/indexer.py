"""What indexing costs: ours against web3.py's event objects and a save per row, on the same chain, in one run.

`.venv/bin/python -m benchmarks.indexer [--logs N] [--compared N] [--blocks N] [--database URL]`

1. Makes a chain of `--logs` mixed logs (benchmarks/history.py).
2. Indexes it into a fresh database, in a process of its own: logs a second from the first request to the last commit,
   and the process's peak memory.
3. Does the same job for the first `--compared` logs with `web3.py`: `get_logs`, `process_log`, `save()` of each row.
4. Follows a chain with a block a second: how long after the node has a block its events are in the read models, and
   how many requests a block without events costs.

`--database` is an empty PostgreSQL database; without it, SQLite in a temporary directory. Ratios hold on any machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=100_000)
    parser.add_argument("--compared", type=int, default=10_000, help="logs that web3.py is given")
    parser.add_argument("--blocks", type=int, default=40, help="blocks, one a second, that are followed; 0 for none")
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weighhouse-bench-") as directory:
        _environment_set(Path(directory), options.database)
        # Only now may anything read the settings.
        from benchmarks import indexer_parts as parts  # noqa: PLC0415

        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {_kind(options)}")
        with parts.chain_of(options.logs, Path(directory)) as history:
            print(f"{history.logs:,} logs of {history.models} models on the chain")
            ours = _child("ours", 0)
            theirs = _child("compared", options.compared)
        _compared(ours, theirs)
        if options.blocks:
            _followed(parts.follow(options.blocks, Path(directory)))


def _environment_set(directory: Path, database: str) -> None:
    from tools.demo.ports import free_port  # noqa: PLC0415

    for name in [name for name in os.environ if name.startswith("WEIGHHOUSE_")]:
        del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "WEIGHHOUSE_DEMO": "true",
        "WEIGHHOUSE_SECRET_KEY": "only-for-benchmarks-" + "x" * 40,
        "WEIGHHOUSE_PAYLOAD_KEY": "A" * 43 + "=",
        "WEIGHHOUSE_ALLOWED_HOSTS": "localhost",
        "WEIGHHOUSE_VAR_DIR": str(directory),
        "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(directory / "deployments"),
        "WEIGHHOUSE_RPC_URL": f"http://127.0.0.1:{free_port()}",
        "WEIGHHOUSE_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
        "WEIGHHOUSE_LOG_LEVEL": "ERROR",
        "WEIGHHOUSE_DATABASE_URL": database or f"sqlite:///{directory}/site.sqlite3",
    }


def _child(part: str, logs: int) -> dict[str, Any]:
    """Run one part in a process of its own on a fresh database, so that its memory is its own."""
    argv = [sys.executable, "-m", "benchmarks.indexer_parts", part, str(logs)]
    done = subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _kind(options: argparse.Namespace) -> str:
    return "PostgreSQL" if options.database else "SQLite"


def _compared(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    print(f"{'':<28}{'logs':>9}{'seconds':>9}{'logs/s':>9}{'peak MB':>9}")
    for name, result in (("indexer", ours), ("web3.py, a save per row", theirs)):
        rate = result["logs"] / result["seconds"]
        print(f"{name:<28}{result['logs']:>9,}{result['seconds']:>9.1f}{rate:>9,.0f}{result['peak_mb']:>9.0f}")
    ratio = (ours["logs"] / ours["seconds"]) / (theirs["logs"] / theirs["seconds"])
    print(f"ratio {ratio:.1f}; the index starts at {ours['base_mb']:.0f} MB")


def _followed(result: dict[str, Any]) -> None:
    delays = sorted(result["delays_ms"])
    p95 = delays[int(len(delays) * 0.95)]
    print(
        f"block to read model, a block a second, {len(delays)} blocks: p50 {statistics.median(delays):.0f} ms, ", end=""
    )
    print(f"p95 {p95:.0f} ms; {result['requests_per_empty_block']:.2f} requests for a block without events")


if __name__ == "__main__":
    main()
