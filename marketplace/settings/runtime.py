"""The sandbox and the jobs that run in it."""

from marketplace.settings.env import env

SANDBOX_MEMORY_BYTES = env.int("SANDBOX_MEMORY_BYTES", 3 * 1024**3)
SANDBOX_START_TIMEOUT_S = env.float("SANDBOX_START_TIMEOUT_S", 60.0)
RUNNER_POOL_MEMORY_BYTES = env.int("RUNNER_POOL_MEMORY_BYTES", 4 * 1024**3)
JOB_DEADLINE_S = env.float("JOB_DEADLINE_S", 60.0)
JOB_LEASE_S = env.float("JOB_LEASE_S", 30.0)
JOB_MAX_ATTEMPTS = env.int("JOB_MAX_ATTEMPTS", 3)

# Job payloads are encrypted at rest with this key (Fernet, 32 bytes in URL-safe base64).
PAYLOAD_KEY = env.str("PAYLOAD_KEY", "")
PAYLOAD_RETENTION_S = env.int("PAYLOAD_RETENTION_S", 24 * 3600)
