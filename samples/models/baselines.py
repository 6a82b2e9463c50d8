"""Baselines that the samples must beat: counts and a linear model, trained on the same data."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch


def words_of(text: str) -> list[str]:
    """Return the lower-case words of a text."""
    return re.findall(r"[a-z']+", text.lower())


def majority_accuracy(train: Sequence[int], test: Sequence[int]) -> float:
    """Return the accuracy of always answering the most frequent training label."""
    (label, _), *_ = Counter(train).most_common(1)
    return sum(answer == label for answer in test) / len(test)


class BagOfWords:
    """Multinomial logistic regression on which words occur, with an L2 penalty, fitted by L-BFGS."""

    def __init__(self, texts: Sequence[str], labels: Sequence[int], *, penalty: float = 1e-4) -> None:
        vocabulary = sorted({word for text in texts for word in words_of(text)})
        self._index = {word: column for column, word in enumerate(vocabulary)}
        features, target = self._features(texts), torch.tensor(labels)
        self._weight = torch.zeros(len(vocabulary) + 1, int(target.max()) + 1, requires_grad=True)
        optimiser = torch.optim.LBFGS([self._weight], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(features @ self._weight, target)
            loss = loss + penalty * self._weight.square().sum()
            loss.backward()
            return loss

        optimiser.step(closure)

    def _features(self, texts: Sequence[str]) -> torch.Tensor:
        rows = torch.zeros(len(texts), len(self._index) + 1)
        rows[:, -1] = 1.0
        for row, text in enumerate(texts):
            for word in words_of(text):
                if word in self._index:
                    rows[row, self._index[word]] = 1.0
        return rows

    def accuracy(self, texts: Sequence[str], labels: Sequence[int]) -> float:
        """Return the share of texts that get their label."""
        with torch.no_grad():
            answers = (self._features(texts) @ self._weight).argmax(dim=1)
        return float((answers == torch.tensor(labels)).float().mean())


class NGrams:
    """Unigram and bigram models of token sequences.

    The bigram model interpolates its maximum-likelihood estimate with the unigram model, which has add-one
    counts; the weight is the best of a grid on the *test* sequences, which only helps the baseline.
    """

    def __init__(self, sequences: Sequence[Sequence[int]], *, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._unigrams = Counter(token for row in sequences for token in row[1:])
        self._pairs = Counter(pair for row in sequences for pair in pairwise(row))
        self._firsts = Counter(token for row in sequences for token in row[:-1])
        self._total = sum(self._unigrams.values())

    def _unigram(self, token: int) -> float:
        return (self._unigrams[token] + 1) / (self._total + self._vocabulary)

    def _bigram(self, before: int, token: int) -> float:
        return self._pairs[before, token] / self._firsts[before] if self._firsts[before] else 0.0

    def perplexity(self, sequences: Sequence[Sequence[int]], *, bigrams: bool) -> float:
        """Return the perplexity per token; the first token of a sequence is given, not predicted."""
        pairs = [pair for row in sequences for pair in pairwise(row)]
        known = [(self._bigram(before, token), self._unigram(token)) for before, token in pairs]
        weights = [0.5, 0.8, 0.9, 0.95, 0.99] if bigrams else [0.0]
        return min(math.exp(-sum(math.log(w * b + (1 - w) * u) for b, u in known) / len(known)) for w in weights)
