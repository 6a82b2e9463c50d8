"""The Celery application.

Queues: `default` (short chores), `intake` (release checks), `fetch` (releases that only the chain named),
`inference` (jobs) and `webhooks` (deliveries, which wait for strangers).
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

app = Celery("marketplace")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["marketplace.inference"], related_name="worker")
