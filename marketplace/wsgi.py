"""WSGI entry point for pages, API and uploads."""

import os
from importlib import import_module

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

application = get_wsgi_application()

# A server of WSGI applications runs no system checks.
import_module("marketplace.checks").unsafe_refuse()
