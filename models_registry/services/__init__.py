"""Changing the registry. Callers above use these names; the modules below divide the work."""

from models_registry.services.checking import release_check
from models_registry.services.lineage import derivative_bps_set, lineages_stored
from models_registry.services.published import (
    announcements_link,
    models_published,
    models_transferred,
    releases_published,
)
from models_registry.services.releases import release_check_enqueue, release_submit, release_transaction
from models_registry.services.sweeping import releases_sweep, uploads_sweep
from models_registry.services.uploads import upload_create, upload_delete, upload_file_delete, upload_file_put

__all__ = [
    "announcements_link",
    "derivative_bps_set",
    "lineages_stored",
    "models_published",
    "models_transferred",
    "release_check",
    "release_check_enqueue",
    "release_submit",
    "release_transaction",
    "releases_published",
    "releases_sweep",
    "upload_create",
    "upload_delete",
    "upload_file_delete",
    "upload_file_put",
    "uploads_sweep",
]
