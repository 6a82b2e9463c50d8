"""Attack this site's own sandbox and print what happened."""

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from models_registry.runners import sandbox_config
from models_registry.runtime import selfcheck


class Command(BaseCommand):
    """Exit status 0: every attack was refused. 1: one succeeded. 2: no sandbox can be made."""

    help = "Run every known attack in a sandbox made by this site's settings. Ten seconds; changes nothing."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        database = settings.DATABASES["default"]
        private = [Path(settings.BASE_DIR) / "manage.py", Path(settings.BASE_DIR) / ".env"]
        if database["ENGINE"].endswith("sqlite3"):
            private.append(Path(str(database["NAME"])))
        sys.exit(selfcheck.report(sandbox_config(), files=private))
