"""Where the bytes of releases are kept, and how they come back verified."""

from pathlib import Path

from django.conf import settings

from models_registry.storage.embedded import EmbeddedStore
from models_registry.storage.kubo import KuboStore
from models_registry.storage.protocol import ArtifactStore

__all__ = ["ArtifactStore", "get_store"]


def get_store() -> ArtifactStore:
    """The store that the settings name: `embedded`, or `kubo` at KUBO_API_ADDR."""
    if settings.ARTIFACT_STORE == "kubo":
        return KuboStore(settings.KUBO_API_ADDR)
    return EmbeddedStore(Path(settings.STORE_DIR))
