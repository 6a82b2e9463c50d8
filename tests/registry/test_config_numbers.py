"""No configuration that transformers writes for weights of its own is taken for an absurd one."""

# ruff: noqa: PLC0415

import json

import pytest

from models_registry.intake.architectures import ARCHITECTURES
from models_registry.intake.config_numbers import number_refusals

KINDS = [(kind, name) for architectures in ARCHITECTURES.values() for kind, name in architectures.items()]


@pytest.mark.parametrize(("kind", "name"), KINDS, ids=[name for _, name in KINDS])
def test_numbers_of_an_architecture_as_its_authors_set_them_are_accepted(kind, name):
    import torch
    import transformers

    config = transformers.AutoConfig.for_model(kind)
    # Sizes as published, and no memory: nothing is computed with a model on this device.
    with torch.device("meta"):
        network = getattr(transformers, name)(config)
    shapes = [tuple(tensor.shape) for tensor in network.state_dict().values()]
    assert number_refusals(json.loads(config.to_json_string(use_diff=False)), "config.json", shapes) == []


def test_numbers_of_minilm_are_accepted(minilm_path):
    from safetensors import safe_open

    with safe_open(minilm_path / "model.safetensors", "np") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 - not a mapping
    assert number_refusals(json.loads((minilm_path / "config.json").read_text()), "config.json", shapes) == []
