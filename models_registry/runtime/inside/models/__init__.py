"""Loading a model and running it: transformers as it is, nothing of the repository's code trusted.

One module per family of tasks. All of them are imported before the lock, so that a release meets no open world.
"""

from models_registry.runtime.inside.models.accelerated import facts as accelerator_facts
from models_registry.runtime.inside.models.loading import configure, load

__all__ = ["accelerator_facts", "configure", "load"]
