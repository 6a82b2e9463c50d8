"""Checking a receipt without trusting the site that gave it.

    report = verify(Path("receipt.json").read_bytes(), Expected(market="0x..."))
    assert report.ok, report.text()

A receipt is a statement that somebody can be held to, not a proof of computation. These checks say who made it, that
no byte of it was changed, and whether its operator anchored it on a chain. Nothing of the server is imported.
"""

from weighhouse.verify.chain import ChainReader, NodeError
from weighhouse.verify.report import Check, Report, Result
from weighhouse.verify.run import Expected, verify

__all__ = ["ChainReader", "Check", "Expected", "NodeError", "Report", "Result", "verify"]
