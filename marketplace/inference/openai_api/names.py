"""How models are named here: `wh-<model id>`, and `wh-<model id>@<digest>` for one release of it."""

import re
from dataclasses import dataclass

from chain.fields import UINT256_MAX
from marketplace.inference.openai_api.errors import ParameterError
from models_registry.errors import ModelNotFoundError

_NAME = re.compile(r"(?:wh-)?(0|[1-9][0-9]{0,77})(?:@(0x[0-9a-fA-F]{64}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model, and the release that was pinned, if any. `given` is what the caller wrote."""

    given: str
    model_id: int
    release: str | None


def model_name(model_id: int) -> str:
    """The stable name of a model. Its publisher's title may change, and two may be alike."""
    return f"wh-{model_id}"


def model_name_read(given: object) -> ModelName:
    """Raises ParameterError, and ModelNotFoundError where the text names no model of any site."""
    if not isinstance(given, str):
        raise ParameterError('model must be the name of a model, such as "wh-1". GET /v1/models lists yours.', "model")
    match = _NAME.fullmatch(given)
    if match is None or int(match.group(1)) > UINT256_MAX:
        raise ModelNotFoundError(
            f'There is no model {given[:80]!a}. Names are like "wh-1"; GET /v1/models lists yours.'
        )
    return ModelName(given, int(match.group(1)), match.group(2))
