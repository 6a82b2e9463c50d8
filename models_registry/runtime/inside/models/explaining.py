"""Why a classifier gave its label: a score for each token of one text.

A token is blanked out by putting the baseline's vector where the embedding layer gives the token's own. Ids stay, and
with them positions and the attention mask, so that nothing else changes.

- Occlusion (Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901): what the label's score loses when the token
  alone is blanked out.
- Integrated gradients (Sundararajan et al., 2017, https://arxiv.org/abs/1703.01365): the gradient along the straight
  line from the baseline's vectors to the text's, by Gauss-Legendre quadrature.
- The deletion check (comprehensiveness; DeYoung et al., 2020, https://arxiv.org/abs/1911.03429): what the score loses
  without the fifth of the tokens with the highest scores, beside as many tokens drawn at random.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models_registry.runtime.explain_limits import MOST_TOKENS
from models_registry.runtime.inside.models.base import BATCH_TOKENS, TextModel, finite
from models_registry.runtime.inside.serve import Refusal

STEPS = 32  # of the quadrature
_DEARER = 4  # how many times the memory a pass takes of which gradients are wanted
_DELETED = 0.2
_DRAWS = 10
_DRAWS_SEED = 0


@dataclass(frozen=True)
class Target:
    """What is explained: `label` among the `scores` of the network's logits, for one row of ids.

    `places` has start and end, in characters, of each token that is the text's, by the token's position.
    `label_names` says which label each score is for, `None` for none.
    """

    ids: list[int]
    segments: list[int] | None
    places: dict[int, tuple[int, int]]
    scores: Callable[[torch.Tensor], torch.Tensor]
    label: int
    label_names: list[int | None]


def places_of(encoded: Any, position: int) -> dict[int, tuple[int, int]]:
    """Where the first text's tokens stand, of a fast tokenizer's encoding of one text or pair. Raises Refusal."""
    parts, offsets = encoded.sequence_ids(0), encoded["offset_mapping"][0]
    places = {
        index: (start, end)
        for index, (part, (start, end)) in enumerate(zip(parts, offsets, strict=True))
        if part == 0 and start < end
    }
    if not places:
        raise Refusal("input.invalid", "no_tokens", position=position)
    if len(places) > MOST_TOKENS:
        raise Refusal("input.invalid", "explained_too_long", position=position, max_length=MOST_TOKENS)
    return places


def explain(model: TextModel, target: Target, *, method: str, position: int) -> list[Any]:
    """One explanation, as `explanations.read` wants it. Raises Refusal."""
    reader = _Reader(model, target, position)
    every = list(target.places)
    whole, blank = reader.without([[], every])
    score = whole[target.label].item()
    if method == "integrated_gradients":
        causes = reader.integrated_gradients()
    else:
        rest = reader.without([[place] for place in every])
        causes = [score - scores[target.label].item() for scores in rest]
    tokens = [[cause, *target.places[place]] for cause, place in zip(causes, every, strict=True)]
    best = int(blank.argmax())
    baseline = [reader.baseline, target.label_names[best], blank[best].item()]
    label = target.label_names[target.label]
    return [label, score, tokens, baseline, _deletion(reader, target, causes, score)]


def _deletion(reader: "_Reader", target: Target, causes: list[float], score: float) -> list[Any]:
    """How many tokens were deleted, and the label's loss without the best of them and without random ones."""
    every = list(target.places)
    count = max(1, round(_DELETED * len(every)))
    best = sorted(range(len(every)), key=lambda at: -causes[at])[:count]
    generator = torch.Generator().manual_seed(_DRAWS_SEED)
    draws = [torch.randperm(len(every), generator=generator)[:count].tolist() for _ in range(_DRAWS)]
    rest = reader.without([[every[at] for at in chosen] for chosen in [best, *draws]])
    left = [scores[target.label].item() for scores in rest]
    return [count, score - left[0], score - sum(left[1:]) / _DRAWS]


class _Reader:
    """The network's scores of one text in which some tokens' vectors are others."""

    def __init__(self, model: TextModel, target: Target, position: int) -> None:
        self._model, self._target, self._position = model, target, position
        self._layer = model.network.get_input_embeddings()
        self._ids = torch.tensor([target.ids], device=model.device)
        self._own = self._layer(self._ids)[0]
        self.baseline, self._blank = self._blanks()
        self._rows = max(1, min(model.batch_size, BATCH_TOKENS // len(target.ids)))

    def without(self, groups: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """The scores [labels] without the tokens of each group."""
        results: list[torch.Tensor] = []
        for vectors in self._batches(groups):
            results.extend(self._scores(vectors).cpu())
        return results

    def integrated_gradients(self) -> list[float]:
        """Each place's share in the label's score, less that of the text with every place blanked out."""
        every = list(self._target.places)
        away = torch.zeros_like(self._own)
        away[every] = self._own[every] - self._blank
        nodes, weights = np.polynomial.legendre.leggauss(STEPS)
        total = torch.zeros_like(self._own, dtype=torch.float32)
        self._model.network.requires_grad_(False)
        # A pass that will be gone back through keeps what each layer computed.
        steps = max(1, self._rows // _DEARER)
        # From the interval -1 to 1 of the rule to that from 0, the baseline, to 1, the text.
        left_out = torch.tensor((1 - nodes) / 2, device=away.device, dtype=away.dtype)
        parts = torch.tensor(weights / 2, device=away.device, dtype=torch.float32)
        for left, shares in zip(left_out.split(steps), parts.split(steps), strict=True):
            with torch.enable_grad():
                vectors = (self._own - left[:, None, None] * away).requires_grad_()
                label = self._scores(vectors)[:, self._target.label].sum()
                (slopes,) = torch.autograd.grad(label, vectors)
            total += (shares[:, None, None] * slopes).sum(0)
        causes: list[float] = (total * away).sum(-1)[every].tolist()
        return causes

    def _blanks(self) -> tuple[str, torch.Tensor]:
        """The baseline's name and its vector."""
        pad = self._model.tokenizer.pad_token_id
        if pad is None or pad >= self._model.vocabulary:
            return "zeros", torch.zeros_like(self._own[0])
        return "pad", self._layer(torch.tensor([pad], device=self._model.device))[0]

    def _batches(self, groups: Sequence[Sequence[int]]) -> Iterator[torch.Tensor]:
        """Vectors [rows, tokens, width] for every group, a few rows at a time."""
        for start in range(0, len(groups), self._rows):
            chosen = groups[start : start + self._rows]
            vectors = self._own.repeat(len(chosen), 1, 1)
            for row, places in enumerate(chosen):
                vectors[row, list(places)] = self._blank
            yield vectors

    def _scores(self, vectors: torch.Tensor) -> torch.Tensor:
        """The scores [rows, labels] where the embedding layer gives these vectors."""
        if self._model.exchange is not None:
            self._model.exchange.check()
        ids = self._ids.expand(len(vectors), -1)
        extra = {}
        if self._target.segments is not None:
            kinds = torch.tensor([self._target.segments], device=self._model.device)
            extra["token_type_ids"] = kinds.expand(len(vectors), -1)
        given = []

        def give(_layer: Any, _arguments: Any, own: torch.Tensor) -> torch.Tensor:
            given.append(own.shape)
            return vectors

        handle = self._layer.register_forward_hook(give)
        try:
            logits = self._model.network(input_ids=ids, attention_mask=torch.ones_like(ids), **extra).logits
        finally:
            handle.remove()
        if given != [vectors.shape]:
            # Encoder and decoder read it, or neither: what was blanked out would not be what the network reads.
            raise Refusal("input.invalid", "unexplained", position=self._position)
        return self._target.scores(finite(logits))
