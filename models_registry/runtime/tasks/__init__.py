"""The tasks: what goes in, what may be asked, what comes out. Pure; no model library.

Names are those of the pipeline tasks of transformers. API, pages and intake read this one table;
the schemas are JSON Schema 2020-12 and the validators enforce them, in sentences.
"""

from models_registry.runtime.tasks.inputs import ChatInput, FileInput, PairInput, TextInput
from models_registry.runtime.tasks.parameters import Parameter
from models_registry.runtime.tasks.specs import Example, TaskSpec
from models_registry.runtime.tasks.table import TASKS

__all__ = [
    "TASKS",
    "ChatInput",
    "Example",
    "FileInput",
    "PairInput",
    "Parameter",
    "TaskSpec",
    "TextInput",
]
