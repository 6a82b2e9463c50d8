"""One row of numbers per text: feature-extraction and text-classification."""

from typing import Any

import numpy as np
import torch

from models_registry.runtime.inside.models import explaining
from models_registry.runtime.inside.models.base import TextModel
from models_registry.runtime.inside.serve import Refusal


class Embedder(TextModel):
    """feature-extraction: one vector per text."""

    may_run_abreast = True

    def run(self, inputs: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        tokens = self.tokens(inputs, truncate=parameters["truncate"])

        def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            states = self.network(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            if parameters["pooling"] == "cls":
                vectors = states[:, 0]
            else:
                weights = mask.unsqueeze(-1).to(states.dtype)
                vectors = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(vectors, dim=-1) if parameters["normalise"] else vectors

        return {**self.in_batches(tokens.rows, compute), **tokens.usage(), "output_tokens": 0}


class Classifier(TextModel):
    """text-classification: a score for every label."""

    may_run_abreast = True

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "labels": self.labels()}

    def run(self, inputs: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        tokens = self.tokens(inputs, truncate=parameters["truncate"])
        places = [self._places(text, position) for position, text in enumerate(inputs * parameters["explain"])]

        def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.probabilities(self.network(input_ids=ids, attention_mask=mask).logits.float())

        answer = {**self.in_batches(tokens.rows, compute), **tokens.usage(), "output_tokens": 0}
        if parameters["explain"]:
            answer["explanations"] = self._explanations(answer, tokens.rows, places, parameters["explain_method"])
        return answer

    def _places(self, text: str, position: int) -> dict[int, tuple[int, int]]:
        if not self.tokenizer.is_fast:
            raise Refusal("input.invalid", "unexplained", position=position)
        encoded = self.tokenizer([text], truncation=True, max_length=self.max_length, return_offsets_mapping=True)
        return explaining.places_of(encoded, position)

    def _explanations(
        self, answer: dict[str, Any], rows: list[list[int]], places: list[dict[int, tuple[int, int]]], method: str
    ) -> list[Any]:
        """Of each text, why it was given its highest score."""
        best = np.frombuffer(answer["data"], dtype="<f4").reshape(answer["shape"]).argmax(axis=1).tolist()
        names: list[int | None] = list(range(answer["shape"][1]))
        return [
            explaining.explain(
                self,
                explaining.Target(ids, None, found, self.probabilities, label, names),
                method=method,
                position=position,
            )
            for position, (ids, found, label) in enumerate(zip(rows, places, best, strict=True))
        ]
