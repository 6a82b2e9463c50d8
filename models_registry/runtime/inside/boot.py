"""The first Python of a runner: find the payload and give it the channel.

Started by the launcher as `python -I -S -B -c BOOT entry descriptor path...`. The entry is
`module:function`; production passes that of `serve`, the self-check passes an attack.
"""

import importlib
import sys

from models_registry.runtime.wire import RunnerChannel


def main() -> None:
    """Run the payload that the command line names."""
    module, _, function = sys.argv[1].partition(":")
    channel = RunnerChannel(int(sys.argv[2]))
    getattr(importlib.import_module(module), function)(channel)
