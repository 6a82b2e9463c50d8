"""zero-shot-classification: does the text entail the label's sentence? By the rule of transformers' own pipeline."""

from typing import Any

import torch

from models_registry.runtime.inside.models.base import TextModel, Tokens, finite, table_of
from models_registry.runtime.inside.serve import Refusal


class ZeroShotClassifier(TextModel):
    """A score for each label that the request names."""

    def __init__(self, network: Any, tokenizer: Any, *, device: str) -> None:
        super().__init__(network, tokenizer, device=device)
        names = [name.lower() for name in self.labels()]
        entailing = [index for index, name in enumerate(names) if name.startswith("entail")]
        if not entailing or len(names) < 2:
            raise Refusal("model.unloadable", "no_entailment")
        self.entailment = entailing[0]
        self.contradiction = -1 if self.entailment == 0 else 0

    def run(self, inputs: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        labels, template = parameters["candidate_labels"], parameters["hypothesis_template"]
        hypotheses = [template.replace("{}", label) for label in labels]
        tokens, segments = self._pairs(inputs, hypotheses, truncate=parameters["truncate"])

        def compute(ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
            extra = {"token_type_ids": kinds} if self.tells_segments else {}
            return finite(self.network(input_ids=ids, attention_mask=mask, **extra).logits)

        results, shapes = self.batched(tokens.rows, compute, segments=segments)
        logits = torch.stack(results).reshape(len(inputs), len(labels), -1)
        if parameters["multi_label"] or len(labels) == 1:
            scores = torch.softmax(logits[..., [self.contradiction, self.entailment]], dim=-1)[..., 1]
        else:
            scores = torch.softmax(logits[..., self.entailment], dim=-1)
        return {**table_of(scores), "batches": shapes, **tokens.usage(), "output_tokens": 0}

    def _pairs(self, texts: list[str], hypotheses: list[str], *, truncate: bool) -> tuple[Tokens, list[list[int]]]:
        """Ids and segments of each text with each hypothesis. A text is cut, a hypothesis never."""
        rows, segments, cut = [], [], []
        longest_hypothesis = max(len(ids) for ids in self.tokenizer(hypotheses)["input_ids"])
        if longest_hypothesis > self.max_length // 2:
            raise Refusal("input.invalid", "labels_too_long", max_length=self.max_length // 2)
        for position, text in enumerate(texts):
            pairs = ([text] * len(hypotheses), hypotheses)
            longest = max(map(len, self.tokenizer(*pairs, verbose=False)["input_ids"]))
            if longest > self.max_length:
                if not truncate:
                    raise Refusal("input.invalid", "too_long", position=position, max_length=self.max_length)
                cut.append(position)
            encoded = self.tokenizer(
                *pairs, truncation="only_first", max_length=self.max_length, return_token_type_ids=True
            )
            rows += encoded["input_ids"]
            segments += encoded["token_type_ids"]
        self.check_ids(rows)
        return Tokens(rows, cut), segments
