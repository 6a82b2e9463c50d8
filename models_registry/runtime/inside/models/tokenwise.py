"""An answer for single tokens of a text: token-classification and fill-mask."""

from typing import Any

import torch

from models_registry.runtime.inside.models.base import TextModel, finite, text_of
from models_registry.runtime.inside.serve import Refusal

# With a vocabulary of 250,000, one text of 512 tokens takes half a GB of logits.
_MASK_BATCH = 1
_MOST_MASKS = 16
_MASK = "[MASK]"

# label's index, score, start, end
_Entity = list[Any]


class TokenClassifier(TextModel):
    """token-classification: each token's likeliest label, or runs of one label."""

    def __init__(self, network: Any, tokenizer: Any, *, device: str) -> None:
        super().__init__(network, tokenizer, device=device)
        if not tokenizer.is_fast:
            raise Refusal("model.unloadable", "no_offsets")

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "labels": self.labels()}

    def run(self, inputs: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        tokens = self.tokens(inputs, truncate=parameters["truncate"])

        def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.softmax(finite(self.network(input_ids=ids, attention_mask=mask).logits), dim=-1).cpu()

        results, shapes = self.batched(tokens.rows, compute)
        entities = [
            self._entities(text, scores, joined=parameters["aggregation"] == "simple")
            for text, scores in zip(inputs, results, strict=True)
        ]
        return {"entities": entities, "batches": shapes, **tokens.usage(), "output_tokens": 0}

    def _entities(self, text: str, scores: torch.Tensor, *, joined: bool) -> list[_Entity]:
        """Every token that stands for characters, or the runs of tokens of one label, less those labelled O."""
        encoded = self.tokenizer(
            text,
            truncation=True,
            max_length=self.max_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        best, labels = scores.max(dim=-1)
        found: list[_Entity] = [
            [labels[index].item(), best[index].item(), start, end]
            for index, ((start, end), special) in enumerate(
                zip(encoded["offset_mapping"], encoded["special_tokens_mask"], strict=True)
            )
            if not special
        ]
        names = self.labels()
        if not joined:
            return [entity for entity in found if names[entity[0]] != "O"]
        return [entity for entity in self._joined(found, names) if names[entity[0]].split("-", 1)[-1] != "O"]

    def _joined(self, tokens: list[_Entity], names: list[str]) -> list[_Entity]:
        """Neighbours of one tag are one entity, unless the later begins a new one (B-). Its score is their mean."""
        groups: list[list[_Entity]] = []
        for token in tokens:
            name = names[token[0]]
            if groups and not name.startswith("B-") and _tag(name) == _tag(names[groups[-1][-1][0]]):
                groups[-1].append(token)
            else:
                groups.append([token])
        return [
            [group[0][0], sum(token[1] for token in group) / len(group), group[0][2], group[-1][3]] for group in groups
        ]


class MaskFiller(TextModel):
    """fill-mask: the likeliest tokens for each mask."""

    def __init__(self, network: Any, tokenizer: Any, *, device: str) -> None:
        super().__init__(network, tokenizer, device=device)
        if tokenizer.mask_token_id is None:
            raise Refusal("model.unloadable", "no_mask_token")
        self.batch_size = _MASK_BATCH

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "mask_token": text_of(self.tokenizer.mask_token)}

    def run(self, inputs: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        # [MASK] stands for the model's own mask token in every model.
        own = self.tokenizer.mask_token
        texts = [text if own in text else text.replace(_MASK, own) for text in inputs]
        tokens = self.tokens(texts, truncate=parameters["truncate"])
        places = [self._places(ids, position) for position, ids in enumerate(tokens.rows)]

        def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            logits = self.network(input_ids=ids, attention_mask=mask).logits[0]
            masked = (ids[0] == self.tokenizer.mask_token_id).nonzero().squeeze(-1)
            return torch.softmax(finite(logits[masked]), dim=-1).cpu().unsqueeze(0)

        results, shapes = self.batched(tokens.rows, compute)
        count = min(parameters["top_k"], self.vocabulary)
        masks = [[self._proposed(scores, count) for scores in result] for result in results]
        return {
            "masks": masks,
            "batches": shapes,
            **tokens.usage(),
            "output_tokens": sum(map(len, places)),
        }

    def _places(self, ids: list[int], position: int) -> list[int]:
        places = [place for place, token in enumerate(ids) if token == self.tokenizer.mask_token_id]
        if not places:
            raise Refusal("input.invalid", "no_mask", position=position)
        if len(places) > _MOST_MASKS:
            raise Refusal("input.invalid", "too_many_masks", position=position, most=_MOST_MASKS)
        return places

    def _proposed(self, scores: torch.Tensor, count: int) -> list[list[Any]]:
        values, tokens = scores.topk(min(count, len(scores)))
        return [
            [text_of(self.tokenizer.decode([token])), token, value]
            for value, token in zip(values.tolist(), tokens.tolist(), strict=True)
        ]


def _tag(name: str) -> str:
    return name[2:] if name.startswith(("B-", "I-")) else name
