"""Changing the registry. Callers above use these names; the modules below divide the work."""

from models_registry.services.checking import release_check
from models_registry.services.lineage import derivative_bps_set, lineage_stored
from models_registry.services.published import model_published, model_transferred, release_published
from models_registry.services.releases import release_check_enqueue, release_submit, release_transaction
from models_registry.services.sweeping import releases_sweep, uploads_sweep
from models_registry.services.uploads import upload_create, upload_delete, upload_file_delete, upload_file_put

__all__ = [
    "derivative_bps_set",
    "lineage_stored",
    "model_published",
    "model_transferred",
    "release_check",
    "release_check_enqueue",
    "release_published",
    "release_submit",
    "release_transaction",
    "releases_sweep",
    "upload_create",
    "upload_delete",
    "upload_file_delete",
    "upload_file_put",
    "uploads_sweep",
]
