"""Which of the chain's events the registry follows."""

from chain.handlers import register
from models_registry import services


def register_all() -> None:
    """Register the handlers; called once the apps are loaded."""
    register("ModelRegistry", "ModelPublished")(services.model_published)
    register("ModelRegistry", "ReleasePublished")(services.release_published)
    register("ModelRegistry", "Transfer")(services.model_transferred)
    register("ModelRegistry", "LineageStored")(services.lineage_stored)
    register("ModelRegistry", "DerivativeBpsSet")(services.derivative_bps_set)
