"""Which files a release may hold, what kind each is, and how large. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum

from weighhouse.core.paths import MANIFEST, PathError, path_check

from models_registry.errors import refusal

MIB = 1 << 20


class Kind(StrEnum):
    """How the content of a file is checked."""

    WEIGHTS = "safetensors"
    JSON = "JSON"
    TEXT = "text"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Rule:
    """A class of file names at one place of the release."""

    pattern: re.Pattern[str]
    kind: Kind
    max_bytes: int | None = None


_ROOT_JSON = (
    "config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|modules"
    "|sentence_bert_config|config_sentence_transformers|model\\.safetensors\\.index|processor_config|preprocessor_config"
)
RULES: tuple[Rule, ...] = (
    Rule(re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors"), Kind.WEIGHTS),
    Rule(re.compile(rf"({_ROOT_JSON})\.json"), Kind.JSON, 64 * MIB),
    Rule(re.compile(r"\d_[A-Z][A-Za-z]*/config\.json"), Kind.JSON, MIB),
    Rule(re.compile(r"(vocab|merges)\.txt"), Kind.TEXT, 32 * MIB),
    Rule(re.compile(r"chat_template\.jinja"), Kind.TEXT, MIB),
    Rule(re.compile(r"(README|NOTICE|CHANGELOG)\.md|(LICEN[CS]E|NOTICE)(\.txt|\.md)?"), Kind.TEXT, MIB),
    Rule(
        re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*/)?[A-Za-z0-9_][A-Za-z0-9._-]*\.(png|jpe?g|webp)"), Kind.IMAGE, 8 * MIB
    ),
)

_PICKLES = re.compile(r"\.(bin|pt|pth|ckpt|pkl|pickle|joblib|npy|npz|h5|keras)$", re.IGNORECASE)
_ARCHIVES = re.compile(r"\.(zip|tar|tgz|gz|bz2|xz|zst|7z|rar|whl)$", re.IGNORECASE)
_CODE = re.compile(r"\.(py|pyc|pyd|so|dll|dylib|sh|exe|js|ipynb|jar|wasm)$", re.IGNORECASE)

_CONVERT = "Convert the weights with transformers: model.save_pretrained(directory, safe_serialization=True)."


def rule_for(path: str) -> Rule | None:
    """The rule that admits the path, None where there is none."""
    return next((rule for rule in RULES if rule.pattern.fullmatch(path)), None)


def path_refusal(path: str) -> dict[str, str] | None:
    """Why no release may hold a file of this path, or None where one may."""
    try:
        path_check(path)
    except PathError as error:
        return refusal(error.data["path"], error.code, f"a path that {error.data['reason']}", error.data["remedy"])
    if path.lower() == MANIFEST:
        return refusal(path, "path.reserved", "a manifest", "Leave it out: the site writes the manifest itself.")
    return None if rule_for(path) else _name_refusal(path)


def _name_refusal(path: str) -> dict[str, str]:
    if _PICKLES.search(path):
        return refusal(
            path, "file.pickle", "a format that can carry a pickle, which runs code when it is loaded", _CONVERT
        )
    if _ARCHIVES.search(path):
        return refusal(path, "file.archive", "an archive", "Upload the files themselves, unpacked.")
    if _CODE.search(path):
        return refusal(
            path, "file.code", "a program", "Leave it out: releases hold no code. Custom models cannot be run."
        )
    return refusal(
        path,
        "file.not_allowed",
        "a file that no release holds",
        "Leave it out. Allowed are model.safetensors, config, preprocessor and tokenizer JSON, vocab.txt, merges.txt, "
        "README.md, a licence text, and images.",
    )


def size_refusal(path: str, size: int) -> dict[str, str] | None:
    """Why a file of this path may not have this size, or None."""
    rule = rule_for(path)
    if rule is None or rule.max_bytes is None or size <= rule.max_bytes:
        return None
    return refusal(
        path,
        "file.too_large",
        f"{size} bytes",
        f"At most {rule.max_bytes} bytes are accepted for this file. Shorten it.",
    )
