"""The Celery application.

Queues: `default` (short chores), `intake` (release checks), `fetch` (releases that only the chain named),
`inference` (jobs) and `webhooks` (deliveries, which wait for strangers).
"""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

app = Celery("marketplace")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["marketplace.inference"], related_name="worker")


@task_prerun.connect
@task_postrun.connect
def connections_check(**_: Any) -> None:
    """A thread keeps its database connection from task to task, as a web thread does from request to request.

    Celery itself would close it after each: `CELERY_DB_REUSE_MAX` keeps it from that.
    """
    close_old_connections()
