"""What workers do for the registry.

Queues: `intake` for checks, `fetch` for what only the chain named, `default` for the sweep.
"""

from celery import shared_task

from models_registry import services


@shared_task(name="models_registry.tasks.release_check")
def release_check(release_id: int) -> None:
    """Check one release."""
    services.release_check(release_id=release_id)


@shared_task(name="models_registry.tasks.release_fetch")
def release_fetch(release_id: int) -> None:
    """Fetch and check one release that was not uploaded here."""
    services.release_check(release_id=release_id)


@shared_task(name="models_registry.tasks.registry_sweep")
def registry_sweep() -> None:
    """Periodic: enqueue checks that are due, delete what nobody needs any more."""
    services.releases_sweep()
    services.uploads_sweep()
