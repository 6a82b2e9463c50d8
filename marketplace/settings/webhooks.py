"""Calls to addresses that users name."""

from marketplace.settings.env import env

# `host:port` of receivers that may have private addresses and speak plain HTTP, because the operator says so.
OUTGOING_ALLOW = env.list("OUTGOING_ALLOW", [])

# Deliveries that a process has under way at once: less than a worker has threads, where jobs share them.
WEBHOOK_SENDERS = env.int("WEBHOOK_SENDERS", 4)

# Seconds for one delivery; seconds of failures after which an endpoint is switched off; how long the log is kept.
WEBHOOK_TIMEOUT_S = env.float("WEBHOOK_TIMEOUT_S", 10.0)
WEBHOOK_DISABLE_AFTER_S = env.int("WEBHOOK_DISABLE_AFTER_S", 3 * 24 * 3600)
WEBHOOK_LOG_RETENTION_S = env.int("WEBHOOK_LOG_RETENTION_S", 30 * 24 * 3600)
