"""Redis or Valkey: Celery's broker and the cache that throttles share."""

import sys

from marketplace.settings.base import DEMO, VAR_DIR
from marketplace.settings.env import env

# Seconds between two batches of receipts; each costs the operator one transaction.
RECEIPT_ANCHOR_INTERVAL_S = env.float("RECEIPT_ANCHOR_INTERVAL_S", 60.0 if DEMO else 600.0)

BROKER_URL = env.str("BROKER_URL", "redis://127.0.0.1:6379/0")

CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": BROKER_URL}}

CELERY_BROKER_URL = BROKER_URL
# `marketplace.celery` closes what is old or broken.
CELERY_DB_REUSE_MAX = sys.maxsize
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "marketplace.inference.tasks.job_run": {"queue": "inference"},
    "marketplace.webhooks.tasks.webhook_send": {"queue": "webhooks"},
    "models_registry.tasks.release_check": {"queue": "intake"},
    "models_registry.tasks.release_fetch": {"queue": "fetch"},
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1}
# A broker that is away must not hold up a request: jobs are announced again by `job_sweep`.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 30}

# Seconds between the rounds of each chore. Each may run late, twice or at the same time as itself.
CELERY_BEAT_SCHEDULE = {
    "job-sweep": {"task": "marketplace.inference.tasks.job_sweep", "schedule": 5.0, "options": {"expires": 30}},
    "usage-report": {
        "task": "marketplace.inference.tasks.usage_report",
        "schedule": 15.0,
        "options": {"expires": 30},
    },
    "payload-purge": {
        "task": "marketplace.inference.tasks.payload_purge",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "receipts-anchor": {
        "task": "marketplace.inference.tasks.receipts_anchor",
        "schedule": RECEIPT_ANCHOR_INTERVAL_S,
        "options": {"expires": 600},
    },
    "registry-sweep": {
        "task": "models_registry.tasks.registry_sweep",
        "schedule": 15.0,
        "options": {"expires": 60},
    },
    "orders-follow": {"task": "marketplace.orders.tasks.orders_follow", "schedule": 5.0, "options": {"expires": 30}},
    "webhook-sweep": {"task": "marketplace.webhooks.tasks.webhook_sweep", "schedule": 5.0, "options": {"expires": 30}},
    "webhook-purge": {
        "task": "marketplace.webhooks.tasks.webhook_purge",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
    "sign-in-purge": {
        "task": "marketplace.accounts.tasks.sign_in_purge",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
