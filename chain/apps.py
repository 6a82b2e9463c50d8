"""The chain's place among Django's apps."""

from django.apps import AppConfig
from django.conf import settings
from weighhouse.core.faults import faults_arm


class ChainConfig(AppConfig):
    name = "chain"
    label = "chain"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from chain import (  # noqa: PLC0415 - needs the apps to be loaded
            activity,
            checks,  # noqa: F401 - registers the checks
        )
        from chain.audit import feeds  # noqa: PLC0415
        from chain.outbox import checks as outbox_checks  # noqa: F401, PLC0415

        activity.register_all()
        feeds.register_all()

        # Outside demo mode chain.E004 refuses to start; a process that skips the checks stays unarmed all the same.
        if settings.FAULTS and settings.DEMO and settings.CHAIN_ID in settings.DEVELOPMENT_CHAIN_IDS:
            faults_arm(settings.FAULTS, directory=settings.FAULTS_DIR)
