"""Loading, when a worker starts, what it will most likely be asked for first."""

import logging
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError

from marketplace.inference.models import Isolation, Job, JobState
from models_registry import selectors as registry
from models_registry.runners import runner_pool
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import RunnerSpec
from models_registry.storage.cache import release_fetch

logger = logging.getLogger(__name__)

# Jobs of so long before now say what will be asked for.
_LOOK_BACK = timedelta(days=1)


def releases_warm() -> int:
    """Load the releases that succeeded most often in the last day, one after the other. Returns how many are loaded.

    `WARM_RELEASES` of them at most, where the pool has room. Nothing that goes wrong is anybody's error but the log's:
    the first job of such a release loads it, and meets the same reason.
    """
    if settings.RUNNER_DEDICATED:
        return 0  # no runner would be everybody's
    # One pool for all: where the worker ends meanwhile it is closed, and another one would be left behind.
    pool = runner_pool()
    return sum(_is_warmed(pool, spec) for spec in _busiest(settings.WARM_RELEASES))


def releases_warm_in_background() -> None:
    """The same in a thread: `releases_warm`, with a database connection of its own."""
    try:
        count = releases_warm()
        logger.info("%d releases are loaded before a job asks for them.", count)
    except Exception:
        logger.exception("No release could be loaded beforehand")
    finally:
        connection.close()


def _busiest(most: int) -> Iterator[RunnerSpec]:
    """Of shared jobs, the releases that ran most, fetched and verified, the busiest first."""
    ran = Job.objects.filter(
        state=JobState.SUCCEEDED, isolation=Isolation.SHARED, created_at__gte=timezone.now() - _LOOK_BACK
    )
    counted = ran.order_by().values_list("model_id", "release_digest", "task").annotate(runs=Count("pk"))
    for model_id, digest, task, _ in counted.order_by("-runs", "release_digest")[:most]:
        try:
            release = registry.release_of_model(model_id, digest)
            path, dtype = release_fetch(release.root_cid), release.manifest.get("runtime", {}).get("dtype", "float32")
        except WeighhouseError as error:
            logger.warning("Release %s of model %s is not loaded beforehand: %s", digest, model_id, error.message)
            continue
        yield RunnerSpec(release_path=path, digest=digest, task=task, dtype=dtype)


def _is_warmed(pool: RunnerPool, spec: RunnerSpec) -> bool:
    try:
        is_loaded = pool.warm(spec)
    except WeighhouseError as error:
        logger.warning("Release %s could not be loaded beforehand: %s", spec.digest, error.message)
        return False
    if not is_loaded:
        logger.info("Release %s is not loaded beforehand: there is no room, or a job is at it.", spec.digest)
    return is_loaded
