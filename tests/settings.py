"""Settings of the tests: the site's own, pointed at processes and directories that belong to this test run.

Every test process (each xdist worker too) has its own directory, ports and database. The values go into the
environment, so that a real worker, indexer or web process that a test starts serves the same site.
"""

import atexit
import os
import shutil
import tempfile

from cryptography.fernet import Fernet

from tools.demo.ports import free_port

# A process that a test starts inherits the name of its run and keeps the values that it finds.
_RUN = f"{os.environ.get('PYTEST_XDIST_TESTRUNUID', 'local')}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


def _choose() -> dict[str, str]:
    directory = tempfile.mkdtemp(prefix="weighhouse-test-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    database = os.environ.get("TEST_POSTGRES_URL", "")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return {
        "TEST_RUN": _RUN,
        "WEIGHHOUSE_DEMO": "true",
        "WEIGHHOUSE_DEMO_WALLET": "true",
        "WEIGHHOUSE_SECRET_KEY": "only-for-tests-" + "x" * 50,
        "WEIGHHOUSE_PAYLOAD_KEY": Fernet.generate_key().decode(),
        "WEIGHHOUSE_VAR_DIR": directory,
        "WEIGHHOUSE_DATABASE_URL": f"{database}/weighhouse_{worker}"
        if database
        else f"sqlite:///{directory}/site.sqlite3",
        "WEIGHHOUSE_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
        "WEIGHHOUSE_RPC_URL": f"http://127.0.0.1:{free_port()}",
        "WEIGHHOUSE_CHAIN_ID": "31337",
        "WEIGHHOUSE_ADDRESS_BOOK_DIR": f"{directory}/deployments",
        # Empty: pages in tests find static files by their finders. WhiteNoise warns about a directory that is missing.
        "WEIGHHOUSE_STATIC_ROOT": tempfile.mkdtemp(prefix="static-", dir=directory),
        # Tests change the chain and look at once. The test of entitlements has the site's own age.
        "WEIGHHOUSE_HEAD_MAX_AGE_S": "0",
        # Who holds no licence is refused; the tests of trials have trials.
        "WEIGHHOUSE_TRIAL_CALLS_PER_MODEL_PER_DAY": "0",
        # Workers load what jobs ask for, and nothing before.
        "WEIGHHOUSE_WARM_RELEASES": "0",
        "WEIGHHOUSE_SITE_URL": "http://testserver",
        "WEIGHHOUSE_ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
        "WEIGHHOUSE_LOG_LEVEL": "WARNING",
    }


if os.environ.get("TEST_RUN") != _RUN:
    for _name in [name for name in os.environ if name.startswith("WEIGHHOUSE_") and name != "WEIGHHOUSE_STRICT"]:
        del os.environ[_name]
    os.environ.update(_choose())

from marketplace.settings import *  # noqa: E402, F403
from marketplace.settings import DATABASES  # noqa: E402

# The test database is the one that the environment names, so that other processes find it.
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}

# Shared by no one: the counters of throttles are private to a test process and cleared after each test.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# Hashed names would need `collectstatic` before any page renders.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
