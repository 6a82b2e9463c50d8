"""Run a job again and say whether the result holds."""

import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from marketplace.inference.receipts.recheck import job_recheck
from models_registry.runners import runner_pool_close


class Command(BaseCommand):
    """Exit status 0: the result holds, exactly or within the task's tolerance. 1: it does not, or cannot be checked."""

    help = (
        "Run a succeeded job again from its kept payload, on its release, in the sandbox, and compare the outputs."
        " Counts and stores nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job_id", type=UUID, metavar="JOB_ID")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = job_recheck(job_id=options["job_id"])
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error
        finally:
            runner_pool_close()
        self.stdout.write(f"{found.verdict}: {found.meaning}")
        if found.max_abs is not None:
            self.stdout.write(f"greatest difference {found.max_abs:.3g}, tolerance {found.tolerance:.3g}")
        for difference in found.differences:
            self.stdout.write(f"ran differently: {difference}")
        if not found.holds:
            sys.exit(1)
