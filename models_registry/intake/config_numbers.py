"""The numbers of a config.json against the shapes of the tensors, before a library builds what they ask for.

A model class makes its layers and tables from these numbers before it looks at the weights: a billion layers or labels
would keep a worker busy until its time is over. No number here decides whether a model loads; that is the trial's part.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from models_registry.errors import refusal

Refusal = dict[str, str]

MAX_LAYERS = 512
MAX_NUMBER = 1 << 24
_SHOWN = 10
# How often something is repeated. Each layer has a tensor of its own, except where a model shares its layers.
_LAYERS = {
    *("num_hidden_layers", "num_layers", "n_layer", "n_layers", "attention_types"),
    *("num_hidden_groups", "inner_group_num"),
    *("encoder_layers", "decoder_layers", "num_decoder_layers", "num_feat_extract_layers", "num_stages"),
    *("depths", "num_adapter_layers"),
}
_SHARES_LAYERS = {"albert"}
# Sides of a tensor, or what a side is divided into: no larger than the largest side that there is.
_SIDES = {
    *("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim", "vocab_size"),
    *("intermediate_size", "n_inner", "ffn_dim", "hidden_dim", "type_vocab_size", "num_labels", "head_dim"),
    *("num_attention_heads", "num_key_value_heads", "n_head", "n_heads", "num_heads"),
    *("d_ff", "d_kv", "encoder_ffn_dim", "decoder_ffn_dim", "encoder_attention_heads", "decoder_attention_heads"),
    *("embed_dim", "hidden_sizes", "conv_dim", "conv_kernel", "num_conv_pos_embeddings", "num_channels"),
    "relative_attention_num_buckets",
}
# Of these models, positions are rows of a table; the others compute them.
_POSITIONS = {"max_position_embeddings", "n_positions", "n_ctx"}
_POSITION_TABLES = {
    *("albert", "bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"),
    *("bart", "gpt2", "gpt_neo", "opt"),
}
# Pixels of a side. A model makes a table of the patches of this square before it looks at the weights.
_PIXELS = {"image_size"}
MAX_PIXELS = 1024
# Tables of one entry per label.
_LABELS = ("id2label", "label2id")


def number_refusals(config: dict[str, Any], path: str, shapes: Sequence[Sequence[int]]) -> list[Refusal]:
    """Numbers of a config that the weights cannot carry, given the shapes of all their tensors."""
    kind = config.get("model_type")
    side = max((max(shape, default=1) for shape in shapes), default=0)
    layers = MAX_LAYERS if kind in _SHARES_LAYERS else min(MAX_LAYERS, len(shapes))
    most = dict.fromkeys(_LAYERS, layers) | dict.fromkeys(_SIDES, side)
    most |= dict.fromkeys(_PIXELS, MAX_PIXELS)
    if kind in _POSITION_TABLES:
        most |= dict.fromkeys(_POSITIONS, side)
    found = [f"{len(config[key])} entries in {key}" for key in _LABELS if _is_longer(config.get(key), side)]
    for key, number in _numbers(config):
        limit = most.get(key, MAX_NUMBER)
        if number > limit or (key in most and number < 0):
            found.append(f"{key[:60]!a}: {str(number)[:30]}, where these weights allow 0 to {limit}")
    remedy = "Upload the config.json that save_pretrained wrote together with these weights."
    return [refusal(path, "config.number", what, remedy) for what in found[:_SHOWN]]


def _is_longer(value: Any, most: int) -> bool:
    return isinstance(value, dict | list) and len(value) > most


def _numbers(config: dict[str, Any]) -> Iterator[tuple[str, int | float]]:
    """Every number below the config with the nearest key above it. Bases of frequencies, such as 1e6, are left out."""
    pending: list[tuple[str, Any]] = [("", config)]
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict):
            pending += value.items()
        elif isinstance(value, list):
            pending += ((key, child) for child in value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and "theta" not in key:
            yield key, value
