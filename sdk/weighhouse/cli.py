"""The command `weighhouse`. `weighhouse verify receipt.json` checks a receipt or an acceptance."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from weighhouse.core import canonical
from weighhouse.core.errors import WeighhouseError
from weighhouse.verify import ChainReader, Expected, verify

OK, FAILED, UNUSABLE = 0, 1, 2
_MAX_BYTES = 64 * 1024 * 1024


class FileTooLargeError(WeighhouseError):
    """A file is larger than any receipt or opening."""

    code = "verify.file_too_large"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 where every check that could be made holds, 1 where one failed, 2 where none could be made."""
    options = _parser().parse_args(arguments)
    try:
        return _verify(options)
    except WeighhouseError as error:
        sys.stderr.write(f"{error.message} ({error.code})\n")
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'A file'} cannot be read: {error.strerror}.\n")
    return UNUSABLE


def _verify(options: argparse.Namespace) -> int:
    expected = Expected(
        chain_id=options.chain_id,
        market=options.market,
        anchor=options.anchor,
        operator_key=options.operator_key,
        operator_id=options.operator,
        model_id=options.model,
        licence_id=options.licence,
        release_digest=options.release,
        opening=_json(options.opening),
        keys=_json(options.keys),
    )
    with ExitStack() as stack:
        chain = stack.enter_context(ChainReader(options.rpc)) if options.rpc else None
        report = verify(_read(options.document), expected, chain=chain)
    sys.stdout.write(report.text() + "\n")
    return OK if report.ok else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="weighhouse", description="Tools of the Weighhouse marketplace.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("verify", help="check a receipt or an acceptance, offline and on chain")
    command.add_argument("document", type=Path, metavar="receipt.json", help="the file as the site gave it")
    command.add_argument("--rpc", metavar="URL", help="a node of the chain: whose key it is, what was anchored")
    command.add_argument("--chain-id", type=int, metavar="N", help="the chain that it must be of")
    command.add_argument("--market", metavar="ADDRESS", help="the market that it must be of")
    command.add_argument("--anchor", metavar="ADDRESS", help="the ReceiptAnchor that it must be anchored at")
    command.add_argument("--operator-key", metavar="ADDRESS", help="the operator's key that must have delegated")
    command.add_argument("--operator", type=int, metavar="N", help="the operator that must have signed it")
    command.add_argument("--model", type=int, metavar="N", help="the model that it must be about")
    command.add_argument("--licence", type=int, metavar="N", help="the licence that it must be about")
    command.add_argument("--release", metavar="DIGEST", help="the release that it must be about")
    command.add_argument("--opening", type=Path, metavar="FILE", help="input and output with their salts, as JSON")
    command.add_argument("--keys", type=Path, metavar="FILE", help="the site's list of worker keys, as JSON")
    return parser


def _json(path: Path | None) -> Any:
    return None if path is None else canonical.loads(_read(path))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise FileTooLargeError(f"{path} has more than {_MAX_BYTES} bytes.")
    return data


if __name__ == "__main__":
    sys.exit(main())
