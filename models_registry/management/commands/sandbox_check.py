"""Attack this site's own sandbox and print what happened."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from models_registry.runners import clearance_record, private_files, sandbox_config
from models_registry.runtime import selfcheck


class Command(BaseCommand):
    """Exit status 0: every attack was refused. 1: one succeeded, or may have. 2: no sandbox can be made.

    It always attacks, whatever a worker found before; unless all was refused, the next worker attacks again too.
    """

    help = "Run every known attack in a sandbox made by this site's settings, as a worker does before it serves."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        status = selfcheck.report(sandbox_config(), files=private_files())
        if status != 0:
            clearance_record().unlink(missing_ok=True)
        sys.exit(status)
