"""What all models share, and what all that read text share."""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from models_registry.runtime.inside import batches
from models_registry.runtime.inside.batches import Batch
from models_registry.runtime.inside.models.workers import Workers
from models_registry.runtime.inside.serve import Exchange, Refusal

# Measured on processors; on a card `accelerated` tries what is best there.
BATCH_SIZE = 32
BATCH_TOKENS = 4096
LONGEST = 8192
# Of batches beside each other: with more rows a batch is hardly cheaper by the row, and its rows differ more in length.
ROWS_ABREAST = 8
MOST_ABREAST = 16
# Networks whose forward keeps nothing between two calls, so that two threads may run it at once.
_STATELESS = frozenset({"bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"})
# Position tables of these start behind the padding token's index.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"})


class Model:
    """A network with what it needs. Subclasses are the tasks. `exchange` is the request that runs, where one does."""

    max_length = 0
    exchange: Exchange | None = None

    def __init__(self, network: Any, *, device: str) -> None:
        self.network, self.device = network, device

    def facts(self) -> dict[str, Any]:
        """What the host cannot know by itself."""
        return {
            "device": self.device,
            "max_length": self.max_length,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }

    def run(self, inputs: list[Any], parameters: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; the fields of a `done` message."""
        raise NotImplementedError

    def look(self) -> None:
        """Called between inputs, or batches of them. Raises Refusal once the host does not want the answer any more."""
        if self.exchange is not None:
            self.exchange.check()

    def labels(self) -> list[str]:
        """The names of the network's outputs, in order."""
        names = self.network.config.id2label
        return [text_of(names.get(index, f"LABEL_{index}")) for index in range(self.network.config.num_labels)]

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Scores of logits [rows, labels] by the rule of transformers' own pipelines."""
        problem = self.network.config.problem_type
        if problem == "regression":
            return logits
        if problem == "multi_label_classification" or self.network.config.num_labels == 1:
            return torch.sigmoid(logits)
        return torch.softmax(logits, dim=-1)


class TextModel(Model):
    """A network with its tokenizer. `may_run_abreast` where the result of a batch is small."""

    may_run_abreast = False

    def __init__(self, network: Any, tokenizer: Any, *, device: str) -> None:
        super().__init__(network, device=device)
        self.tokenizer = tokenizer
        self.max_length = self._longest()
        self.batch_size = BATCH_SIZE if tokenizer.pad_token_id is not None else 1
        self.batch_tokens = BATCH_TOKENS
        self._workers = Workers(self._threads())
        self.vocabulary = network.get_input_embeddings().num_embeddings
        # The second text of a pair is told apart only where both tokenizer and network were made for it.
        takes = inspect.signature(network.forward).parameters
        self.tells_segments = "token_type_ids" in tokenizer.model_input_names and "token_type_ids" in takes

    def tokens(self, texts: list[str], *, truncate: bool = True) -> "Tokens":
        """Token ids of each text, cut to what the model reads."""

        def cut(position: int, ids: list[int], longest: int) -> list[int]:
            # The tokenizer cuts, so that closing special tokens stay.
            shorter: list[int] = self.tokenizer(texts[position], truncation=True, max_length=longest)["input_ids"]
            return shorter

        return self.fitted(self.tokenizer(texts, verbose=False)["input_ids"], truncate=truncate, cut=cut)

    def fitted(
        self, rows: list[list[int]], *, truncate: bool, cut: Callable[[int, list[int], int], list[int]], room: int = 0
    ) -> "Tokens":
        """Rows cut to what the model reads less `room` positions. `cut` gets position, ids and the most tokens."""
        longest = self.max_length - room
        too_long = [position for position, ids in enumerate(rows) if len(ids) > longest]
        if too_long and not truncate:
            reason = "no_room" if room else "too_long"
            raise Refusal("input.invalid", reason, position=too_long[0], positions=too_long, max_length=self.max_length)
        fitting = list(rows)
        for position in too_long:
            fitting[position] = cut(position, rows[position], longest)
        self.check_ids(fitting)
        return Tokens(fitting, too_long)

    def check_ids(self, rows: Sequence[list[int]]) -> None:
        """Every row has tokens, and the embedding table has every token. Raises Refusal."""
        empty = [position for position, ids in enumerate(rows) if not ids]
        if empty:
            raise Refusal("input.invalid", "no_tokens", position=empty[0], positions=empty)
        unknown = [position for position, ids in enumerate(rows) if max(ids) >= self.vocabulary]
        if unknown:
            raise Refusal("model.unloadable", "vocabulary", positions=unknown)

    def pad(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and attention mask, both [rows, longest row], padded on the right."""
        mask = self._table([[1] * len(row) for row in rows], 0)
        return self._table(rows, self.tokenizer.pad_token_id or 0), mask

    def batched(
        self,
        rows: list[list[int]],
        compute: Callable[..., torch.Tensor],
        *,
        segments: list[list[int]] | None = None,
    ) -> tuple[list[torch.Tensor], list[list[int]]]:
        """Run rows of like length together. The result of each row, in their order, and the shapes of the batches.

        `compute` gets ids and mask, and with `segments` the token types as a third. Of batches that run beside each
        other, it is called by several threads at once.
        """
        results, shapes, _ = self._computed(rows, compute, segments)
        return results, shapes

    def in_batches(self, rows: list[list[int]], compute: Callable[..., torch.Tensor]) -> dict[str, Any]:
        """`batched` where every row gives as many numbers: fp32 [rows, width] in the order of the rows.

        `row_batches` is the batch of each row.
        """
        results, shapes, chosen = self._computed(rows, compute, None)
        places = [0] * len(rows)
        for place, batch in enumerate(chosen):
            for position in batch:
                places[position] = place
        return {**table_of(torch.stack(results)), "batches": shapes, "row_batches": places}

    def _computed(
        self, rows: list[list[int]], compute: Callable[..., torch.Tensor], segments: list[list[int]] | None
    ) -> tuple[list[torch.Tensor], list[list[int]], list[Batch]]:
        """The result of each row, and the shape and the positions of each batch."""

        def run(batch: Batch) -> tuple[list[int], torch.Tensor]:
            tensors = list(self.pad([rows[position] for position in batch]))
            if segments is not None:
                tensors.append(self._table([segments[position] for position in batch], 0))
            return list(tensors[0].shape), compute(*tensors)

        lengths = list(map(len, rows))
        chosen = self._abreast(lengths)
        if chosen:
            answers = self._workers.run([partial(run, batch) for batch in chosen], look=self.look)
        else:
            chosen = batches.in_order(lengths, most_rows=self.batch_size, most_tokens=self.batch_tokens)
            answers = [run(batch) for batch in self._wanted(chosen)]
        results: list[torch.Tensor] = [torch.empty(0)] * len(rows)
        for batch, (_, found) in zip(chosen, answers, strict=True):
            for position, result in zip(batch, found, strict=True):
                results[position] = result
        return results, [shape for shape, _ in answers], chosen

    def _wanted(self, chosen: list[Batch]) -> Iterator[Batch]:
        """One batch after the other, as long as the request is wanted."""
        for batch in chosen:
            self.look()
            yield batch

    def _abreast(self, lengths: list[int]) -> list[Batch]:
        """Batches to run beside each other; none where they had better run one after the other.

        They are as many as there are threads, or twice as many and so on. Those beside each other hold no more tokens
        than one batch may.
        """
        threads = self._workers.count
        if threads < 2 or len(lengths) < threads:
            return []
        chosen = batches.even(lengths, most_batches=threads * math.ceil(len(lengths) / (threads * ROWS_ABREAST)))
        rows, tokens = max(map(len, chosen)), max(batches.size(batch, lengths) for batch in chosen)
        return chosen if rows <= self.batch_size and tokens * threads <= BATCH_TOKENS else []

    def _threads(self) -> int:
        """How many batches may run beside each other."""
        is_stateless = self.network.config.model_type in _STATELESS
        if not (self.may_run_abreast and is_stateless and self.device == "cpu"):
            return 1
        threads = torch.get_num_threads()
        return threads if threads <= MOST_ABREAST else 1

    def _table(self, rows: list[list[int]], filler: int) -> torch.Tensor:
        width = max(map(len, rows))
        return torch.tensor([row + [filler] * (width - len(row)) for row in rows], device=self.device)

    def _longest(self) -> int:
        config = self.network.config
        limits = [self.tokenizer.model_max_length, LONGEST]
        positions = getattr(config, "max_position_embeddings", None)
        if isinstance(positions, int) and positions > 0:
            offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
            limits.append(positions - offset)
        return int(min(limits))


class Tokens:
    """Ids per text, and which texts were cut."""

    def __init__(self, rows: list[list[int]], truncated: list[int]) -> None:
        self.rows, self.truncated = rows, truncated

    def usage(self) -> dict[str, Any]:
        lengths = list(map(len, self.rows))
        return {"input_tokens": sum(lengths), "row_tokens": lengths, "truncated": self.truncated}


def table_of(numbers: torch.Tensor) -> dict[str, Any]:
    """Numbers [rows, width] as a reply carries them."""
    table = numbers.to("cpu", torch.float32).contiguous()
    return {"data": table.numpy().astype("<f4").tobytes(), "shape": list(table.shape)}


def finite(logits: torch.Tensor) -> torch.Tensor:
    """The logits in fp32. Raises Refusal where one is NaN or infinite: the likeliest of such is no answer."""
    if not torch.isfinite(logits).all():
        raise Refusal("output.invalid", "not_finite")
    return logits.float()


def text_of(value: Any) -> str:
    """Text that the wire can carry: JSON can spell half of a surrogate pair."""
    return str(value).encode("utf-8", "replace").decode()
