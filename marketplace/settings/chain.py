"""The chain: endpoints, contracts, finality."""

from pathlib import Path

from marketplace.settings.base import BASE_DIR, DEMO
from marketplace.settings.env import env

CHAIN_ID = env.int("CHAIN_ID", 31337)
DEVELOPMENT_CHAIN_IDS = frozenset({31337, 1337})
RPC_URLS = env.list("RPC_URL", ["http://127.0.0.1:8545"])
RPC_TIMEOUT_S = env.float("RPC_TIMEOUT_S", 10.0)
# A websocket of a node that announces new blocks; empty, the indexer polls alone. It may hold a key.
WS_URL = env.str("WS_URL", "")

# One JSON file per chain id: contract addresses, code hashes, block of deployment.
ADDRESS_BOOK_DIR = Path(env.str("ADDRESS_BOOK_DIR", str(BASE_DIR / "chain" / "deployments")))

# For so long after a node named its newest block all processes may take that for the newest; 0 asks each time.
HEAD_MAX_AGE_S = env.float("HEAD_MAX_AGE_S", 0.25)

INDEX_POLL_INTERVAL_S = env.float("INDEX_POLL_INTERVAL_S", 0.25)

# A wallet whose keys the development node holds. System checks refuse it outside demo mode
# and outside development chains.
DEMO_WALLET = env.bool("DEMO_WALLET", DEMO)

# The private key with which `deploy_contracts` deploys; on development chains the node's first account without one.
DEPLOYER_KEY = env.str("DEPLOYER_KEY", "")

# Which operator of the market this site is: its workers serve the plans that name it. 0 is none; the demo finds its
# own.
SITE_OPERATOR_ID = env.int("SITE_OPERATOR_ID", 0)

# A block explorer: its address, whose pages are then those of EIP-3091, or templates with {tx}, {address} and {block}.
EXPLORER_URLS = env.list("EXPLORER_URL", [])

# How long a page can say that a re-org removed something.
REMOVED_EVENT_RETENTION_S = env.int("REMOVED_EVENT_RETENTION_S", 30 * 24 * 3600)
# Who signs the site's own transactions: a private key, or a signer behind HTTP that holds the key of OPERATOR_ADDRESS.
# Without either, `send_transactions` does not start; the demo has a published key.
OPERATOR_KEY = env.str("OPERATOR_KEY", "")
OPERATOR_SIGNER_URL = env.str("OPERATOR_SIGNER_URL", "")
OPERATOR_ADDRESS = env.str("OPERATOR_ADDRESS", "")
# Limits of what they may cost, in wei; 0 is none. Fees and value of 24 hours, worst case; the balance below which an
# alarm is raised; the fee per gas above which nothing is signed.
OPERATOR_DAILY_SPEND_WEI = env.int("OPERATOR_DAILY_SPEND_WEI", 0)
OPERATOR_LOW_BALANCE_WEI = env.int("OPERATOR_LOW_BALANCE_WEI", 10**16)
OPERATOR_MAX_FEE_WEI = env.int("OPERATOR_MAX_FEE_WEI", 200 * 10**9)
OUTBOX_POLL_INTERVAL_S = env.float("OUTBOX_POLL_INTERVAL_S", 2.0)
# Transactions under way at once, and when one counts as stuck.
OUTBOX_MAX_IN_FLIGHT = env.int("OUTBOX_MAX_IN_FLIGHT", 8)
OUTBOX_STUCK_S = env.float("OUTBOX_STUCK_S", 60.0)
