"""question-answering: the span of a context that answers a question."""

from typing import Any, NamedTuple

import torch

from models_registry.runtime.inside.models.base import TextModel, finite
from models_registry.runtime.inside.serve import Refusal

# A context is read in windows that overlap, as models of this task are trained.
_WINDOW = 384
_OVERLAP = 128
_MOST_WINDOWS = 128


class _Window(NamedTuple):
    """One row for the network. `spans` has each token's place in the context, None for all but the context's."""

    ids: list[int]
    segments: list[int]
    spans: list[tuple[int, int] | None]


class Answerer(TextModel):
    """The likeliest answer within a context, or none where that is allowed and likelier."""

    def __init__(self, network: Any, tokenizer: Any, *, device: str) -> None:
        super().__init__(network, tokenizer, device=device)
        if not tokenizer.is_fast:
            raise Refusal("model.unloadable", "no_offsets")
        self.window = min(self.max_length, _WINDOW)

    def run(self, inputs: list[dict[str, str]], parameters: dict[str, Any]) -> dict[str, Any]:
        windows, truncated = [], []
        for position, pair in enumerate(inputs):
            found = self._windows(pair, position)
            if len(found) > _MOST_WINDOWS:
                if not parameters["truncate"]:
                    most = _MOST_WINDOWS * (self.window - min(self.window // 2, _OVERLAP))
                    raise Refusal("input.invalid", "too_long", position=position, max_length=most)
                truncated.append(position)
            windows.append(found[:_MOST_WINDOWS])
        rows = [window for found in windows for window in found]
        self.check_ids([window.ids for window in rows])
        results, shapes = self.batched(
            [window.ids for window in rows], self._compute, segments=[window.segments for window in rows]
        )
        logits = iter(results)
        spans = [
            self._best([(window, next(logits)) for window in found], parameters, position)
            for position, found in enumerate(windows)
        ]
        count = sum(len(window.ids) for window in rows)
        return {
            "spans": spans,
            "batches": shapes,
            "input_tokens": count,
            "truncated": truncated,
            "output_tokens": 0,
        }

    def _compute(self, ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Logits of start and end, [rows, 2, width]."""
        extra = {"token_type_ids": kinds} if self.tells_segments else {}
        answer = self.network(input_ids=ids, attention_mask=mask, **extra)
        return finite(torch.stack([answer.start_logits, answer.end_logits], dim=1)).cpu()

    def _windows(self, pair: dict[str, str], position: int) -> list[_Window]:
        question = self.tokenizer(pair["question"], verbose=False)["input_ids"]
        if len(question) > self.window // 2:
            raise Refusal("input.invalid", "question_too_long", position=position, max_length=self.window // 2)
        # The overlap must leave room for new tokens beside the question.
        room = self.window - len(question) - 4
        encoded = self.tokenizer(
            pair["question"],
            pair["context"],
            truncation="only_second",
            max_length=self.window,
            stride=min(_OVERLAP, room // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=True,
        )
        windows = []
        for index, ids in enumerate(encoded["input_ids"]):
            parts, offsets = encoded.sequence_ids(index), encoded["offset_mapping"][index]
            spans = [tuple(span) if part == 1 else None for span, part in zip(offsets, parts, strict=True)]
            windows.append(_Window(ids, encoded["token_type_ids"][index], spans))
        return windows

    def _best(self, read: list[tuple[_Window, torch.Tensor]], parameters: dict[str, Any], position: int) -> list[Any]:
        """Score, start and end of the best answer over all windows; 0, 0 for none."""
        best: list[Any] = [-1.0, 0, 0]
        impossible = 1.0
        for window, logits in read:
            chances, is_context, none = _chances(window, logits)
            impossible = min(impossible, none)
            # A pair of tokens of the context in order, no further apart than an answer is long.
            is_answer = torch.outer(is_context, is_context).triu().tril(parameters["max_answer_tokens"] - 1)
            joint = torch.outer(chances[0], chances[1]).masked_fill(~is_answer, -1.0)
            score, place = joint.flatten().max(dim=0)
            first, last = window.spans[int(place) // len(joint)], window.spans[int(place) % len(joint)]
            if score.item() > best[0] and first is not None and last is not None:
                best = [score.item(), first[0], last[1]]
        if best[0] < 0:
            raise Refusal("input.invalid", "no_tokens", position=position)
        if parameters["handle_impossible"] and impossible > best[0]:
            return [impossible, 0, 0]
        return best


def _chances(window: _Window, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Probabilities of each token to begin and to end the answer, which are the context's, and that there is none.

    The first token stands for no answer; those of the question stand for nothing.
    """
    is_context = torch.tensor([span is not None for span in window.spans])
    is_allowed = is_context.clone()
    is_allowed[0] = True
    chances = torch.softmax(logits[:, : len(window.ids)].masked_fill(~is_allowed, float("-inf")), dim=-1)
    none = 0.0 if is_context[0] else (chances[0, 0] * chances[1, 0]).item()
    return chances, is_context, none
