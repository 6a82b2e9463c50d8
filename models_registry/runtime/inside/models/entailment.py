"""zero-shot-classification: does the text entail the label's sentence? By the rule of transformers' own pipeline."""

from typing import Any

import torch

from models_registry.runtime.inside.models import explaining
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
        if parameters["explain"]:
            for position, text in enumerate(inputs):
                self._encoded(text, hypotheses[0], position)  # refused before anything is computed

        def compute(ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
            extra = {"token_type_ids": kinds} if self.tells_segments else {}
            return finite(self.network(input_ids=ids, attention_mask=mask, **extra).logits)

        results, shapes = self.batched(tokens.rows, compute, segments=segments)
        logits = torch.stack(results).reshape(len(inputs), len(labels), -1)
        if parameters["multi_label"] or len(labels) == 1:
            scores = torch.softmax(logits[..., [self.contradiction, self.entailment]], dim=-1)[..., 1]
        else:
            scores = torch.softmax(logits[..., self.entailment], dim=-1)
        answer = {**table_of(scores), "batches": shapes, **tokens.usage(), "output_tokens": 0}
        if parameters["explain"]:
            method, best = parameters["explain_method"], scores.argmax(dim=-1).tolist()
            answer["explanations"] = [
                self._explanation(text, hypotheses[label], label, method=method, position=position)
                for position, (text, label) in enumerate(zip(inputs, best, strict=True))
            ]
        return answer

    def _explanation(self, text: str, hypothesis: str, label: int, *, method: str, position: int) -> list[Any]:
        """Why the text entails the hypothesis: of entailment beside contradiction, whatever the other labels are."""
        encoded, places = self._encoded(text, hypothesis, position)

        def entails(logits: torch.Tensor) -> torch.Tensor:
            return torch.softmax(logits[:, [self.contradiction, self.entailment]], dim=-1)

        segments = encoded["token_type_ids"][0] if self.tells_segments else None
        target = explaining.Target(encoded["input_ids"][0], segments, places, entails, 1, [None, label])
        return explaining.explain(self, target, method=method, position=position)

    def _encoded(self, text: str, hypothesis: str, position: int) -> tuple[Any, dict[int, tuple[int, int]]]:
        if not self.tokenizer.is_fast:
            raise Refusal("input.invalid", "unexplained", position=position)
        encoded = self.tokenizer(
            [text],
            [hypothesis],
            truncation="only_first",
            max_length=self.max_length,
            return_token_type_ids=True,
            return_offsets_mapping=True,
        )
        return encoded, explaining.places_of(encoded, position)

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
