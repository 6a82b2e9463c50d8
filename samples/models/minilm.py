"""The sentence embedding sample: MiniLM's real weights, as an installed package brings them, measured here."""

from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

from samples.corpora.paraphrases import TRIPLES
from samples.models.baselines import words_of
from samples.models.figures import Figure


def embed(directory: Path, texts: list[str]) -> torch.Tensor:
    """Return one unit vector per text, shape (len(texts), 384): the mean over unmasked tokens, normalised."""
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    model = AutoModel.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
    ).eval()
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1), dim=1)


def _overlap(first: str, second: str) -> float:
    a, b = set(words_of(first)), set(words_of(second))
    return len(a & b) / len(a | b)


def _overlap_scores(firsts: list[str], others: list[str]) -> torch.Tensor:
    return torch.tensor([[_overlap(first, other) for other in others] for first in firsts])


def _found(scores: torch.Tensor) -> float:
    """Return the share of rows whose own column has the one highest score; a tie counts as its share."""
    best = scores == scores.max(dim=1, keepdim=True).values
    return float((best.diagonal() / best.sum(dim=1)).mean())


def evaluate(directory: Path) -> list[Figure]:
    """Measure how often a sentence's paraphrase is found among all of them, and preferred to its decoy."""
    firsts, same, decoys = (list(column) for column in zip(*TRIPLES, strict=True))
    vectors = embed(directory, firsts + same + decoys).reshape(3, len(TRIPLES), -1)
    reached = _found(vectors[0] @ vectors[1].T)
    near = (vectors[0] * vectors[1]).sum(dim=1) > (vectors[0] * vectors[2]).sum(dim=1)
    count = len(TRIPLES)
    find, prefer = "finding the paraphrase (accuracy)", "preferring the paraphrase to a decoy with more of its words"
    return [
        Figure(find, f"{count} hand-written pairs", reached, "word overlap", _found(_overlap_scores(firsts, same))),
        Figure(prefer, f"{count} hand-written triples", float(near.float().mean()), "chance", 0.5),
    ]
