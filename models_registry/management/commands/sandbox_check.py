"""Attack this site's own sandbox and print what happened."""

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand

from models_registry.runners import clearance_forget, private_files, sandbox_config
from models_registry.runtime import selfcheck


class Command(BaseCommand):
    """Exit status 0: every attack was refused. 1: one succeeded, or may have. 2: no sandbox can be made.

    It always attacks, whatever a worker found before; unless all was refused, the next worker attacks again too, of
    whatever user. What holds for one user need not hold for another.
    """

    help = "Run every known attack in a sandbox made by this site's settings, as a worker does before it serves."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        status = selfcheck.report(sandbox_config(), files=private_files())
        uid = os.geteuid()
        self.stdout.write(f"Tried as user {uid}. What counts is the user of the workers: run this command as that one.")
        for record in clearance_forget() if status != 0 else []:
            self.stderr.write(f"User {uid} may not remove {record}. Remove it, so that its workers check again.")
        sys.exit(status)
