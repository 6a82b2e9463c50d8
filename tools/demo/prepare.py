"""Database, static files, contracts and the workers' key, with one start of Django for all."""

import sys

import django
from django.core.management import CommandError, call_command


def main() -> int:
    django.setup()
    try:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        call_command("deploy_contracts", "--demo-funds")
        call_command("worker_keys", "create", "--if-missing")
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
