"""Django settings, one module per integration. Only `env.py` reads the environment."""

from marketplace.settings.base import *  # noqa: F403
from marketplace.settings.broker import *  # noqa: F403
from marketplace.settings.chain import *  # noqa: F403
from marketplace.settings.faults import *  # noqa: F403
from marketplace.settings.http import *  # noqa: F403
from marketplace.settings.registry import *  # noqa: F403
from marketplace.settings.runtime import *  # noqa: F403
from marketplace.settings.webhooks import *  # noqa: F403
