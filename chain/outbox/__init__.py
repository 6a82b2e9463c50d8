"""Transactions that this site sends with a key of its own. docs/outbox.md tells how."""
