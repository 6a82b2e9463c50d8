"""One row of numbers per text: feature-extraction and text-classification."""

from typing import Any

import torch

from models_registry.runtime.inside.models.base import TextModel


class Embedder(TextModel):
    """feature-extraction: one vector per text."""

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

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "labels": self.labels()}

    def run(self, inputs: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        tokens = self.tokens(inputs, truncate=parameters["truncate"])

        def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.probabilities(self.network(input_ids=ids, attention_mask=mask).logits.float())

        return {**self.in_batches(tokens.rows, compute), **tokens.usage(), "output_tokens": 0}
