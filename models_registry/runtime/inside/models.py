"""Loading a model and running it: transformers as it is, nothing of the repository's code trusted."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from models_registry.runtime.inside.serve import Exchange, Refusal
from models_registry.runtime.inside.streaming import TextStream

BATCH_SIZE = 32
BATCH_TOKENS = 4096
LONGEST = 8192
# Position tables of these start behind the padding token's index.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"})
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Tidying spaces would change text that was given out before.
_PLAIN_TEXT = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
_TRUSTED_LOADING = {"local_files_only": True, "trust_remote_code": False}


def configure(threads: int) -> None:
    """Fix what the result depends on. Called once, after the lock."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_grad_enabled(False)


def load(path: str, task: str, dtype: str) -> "Model":
    """The model in `path`. Raises Refusal("model.unloadable", reason)."""
    config = AutoConfig.from_pretrained(path, **_TRUSTED_LOADING)
    tokenizer = AutoTokenizer.from_pretrained(path, config=config, **_TRUSTED_LOADING)
    kind, auto, ignored = _KINDS[task]
    network, loading = _network(auto, path, config, dtype=_DTYPES[dtype])
    missing = [key for key in loading["missing_keys"] if not key.startswith(ignored)]
    if missing or loading["mismatched_keys"]:
        # transformers fills such tensors with random numbers and goes on.
        print("missing:", missing, "mismatched:", loading["mismatched_keys"], file=sys.stderr)  # noqa: T201
        raise Refusal("model.unloadable", "weights_missing")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return kind(network.eval().to(device), tokenizer, device)


def _network(auto: Any, path: str, config: Any, *, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    options = {"config": config, "dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    try:
        return auto.from_pretrained(path, attn_implementation="sdpa", **options, **_TRUSTED_LOADING)  # type: ignore[no-any-return]
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return auto.from_pretrained(path, attn_implementation="eager", **options, **_TRUSTED_LOADING)  # type: ignore[no-any-return]


class Model:
    """A network with its tokenizer. Subclasses are the tasks. `exchange` is the request that runs, where one does."""

    exchange: Exchange | None = None

    def __init__(self, network: Any, tokenizer: Any, device: str) -> None:
        self.network, self.tokenizer, self.device = network, tokenizer, device
        self.max_length = self._longest()
        self.batch_size = BATCH_SIZE if tokenizer.pad_token_id is not None else 1
        self.vocabulary = network.get_input_embeddings().num_embeddings

    def facts(self) -> dict[str, Any]:
        """What the host cannot know by itself."""
        return {
            "device": self.device,
            "max_length": self.max_length,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }

    def run(self, texts: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; the fields of a `done` message."""
        raise NotImplementedError

    def tokens(self, texts: list[str], *, room: int = 0, truncate: bool = True, keep_end: bool = False) -> "Tokens":
        """Token ids of each text, cut to what the model reads less `room` positions."""
        longest = self.max_length - room
        whole = self.tokenizer(texts, verbose=False)["input_ids"]
        too_long = [position for position, ids in enumerate(whole) if len(ids) > longest]
        if too_long and not truncate:
            raise Refusal("input.invalid", "too_long", position=too_long[0], positions=too_long, max_length=longest)
        cut = list(whole)
        for position in too_long:
            cut[position] = self._cut(texts[position], whole[position], longest, keep_end)
        empty = [position for position, ids in enumerate(cut) if not ids]
        if empty:
            raise Refusal("input.invalid", "no_tokens", position=empty[0], positions=empty)
        unknown = [position for position, ids in enumerate(cut) if max(ids) >= self.vocabulary]
        if unknown:
            raise Refusal("model.unloadable", "vocabulary", positions=unknown)
        return Tokens(cut, too_long)

    def pad(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and attention mask, both [rows, longest row], padded on the right."""
        width = max(map(len, rows))
        padding = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([row + [padding] * (width - len(row)) for row in rows], device=self.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.device)
        return ids, mask

    def in_batches(self, rows: list[list[int]], compute: Callable[..., torch.Tensor]) -> dict[str, Any]:
        """Run rows of like length together; results in the order of the rows, fp32 [rows, width].

        `batches` are the shapes that ran, `row_batches` the batch of each row.
        """
        results: list[torch.Tensor] = [torch.empty(0)] * len(rows)
        shapes: list[list[int]] = []
        places = [0] * len(rows)
        for chosen in self._batches([len(row) for row in rows]):
            if self.exchange is not None:
                self.exchange.check()
            ids, mask = self.pad([rows[position] for position in chosen])
            for position, result in zip(chosen, compute(ids, mask), strict=True):
                results[position], places[position] = result, len(shapes)
            shapes.append([ids.shape[0], ids.shape[1]])
        table = torch.stack(results).to("cpu", torch.float32).contiguous()
        data = table.numpy().astype("<f4").tobytes()
        return {"data": data, "shape": list(table.shape), "batches": shapes, "row_batches": places}

    def _batches(self, lengths: list[int]) -> list[list[int]]:
        """Positions of rows by length, `batch_size` and `BATCH_TOKENS` at most in each batch."""
        batches: list[list[int]] = []
        for position in sorted(range(len(lengths)), key=lengths.__getitem__):
            rows = len(batches[-1]) + 1 if batches else 0
            if not batches or rows > self.batch_size or rows * lengths[position] > BATCH_TOKENS:
                batches.append([])
            batches[-1].append(position)
        return batches

    def _longest(self) -> int:
        config = self.network.config
        limits = [self.tokenizer.model_max_length, LONGEST]
        positions = getattr(config, "max_position_embeddings", None)
        if isinstance(positions, int) and positions > 0:
            offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
            limits.append(positions - offset)
        return int(min(limits))

    def _cut(self, text: str, ids: list[int], longest: int, keep_end: bool) -> list[int]:
        if keep_end:
            return ids[-longest:]
        # The tokenizer cuts, so that closing special tokens stay.
        cut: list[int] = self.tokenizer(text, truncation=True, max_length=longest)["input_ids"]
        return cut


class Tokens:
    """Ids per text, and which texts were cut."""

    def __init__(self, rows: list[list[int]], truncated: list[int]) -> None:
        self.rows, self.truncated = rows, truncated

    def usage(self) -> dict[str, Any]:
        lengths = list(map(len, self.rows))
        return {"input_tokens": sum(lengths), "row_tokens": lengths, "truncated": self.truncated}


class Embedder(Model):
    """feature-extraction: one vector per text."""

    def run(self, texts: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        tokens = self.tokens(texts, truncate=parameters["truncate"])

        def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            states = self.network(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            if parameters["pooling"] == "cls":
                vectors = states[:, 0]
            else:
                weights = mask.unsqueeze(-1).to(states.dtype)
                vectors = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(vectors, dim=-1) if parameters["normalise"] else vectors

        return {**self.in_batches(tokens.rows, compute), **tokens.usage(), "output_tokens": 0}


class Classifier(Model):
    """text-classification: a score for every label, by the rule of transformers' own pipeline."""

    def facts(self) -> dict[str, Any]:
        names = self.network.config.id2label
        count = self.network.config.num_labels
        return {**super().facts(), "labels": [_text(names.get(index, f"LABEL_{index}")) for index in range(count)]}

    def run(self, texts: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        tokens = self.tokens(texts, truncate=parameters["truncate"])

        def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            logits = self.network(input_ids=ids, attention_mask=mask).logits.float()
            problem = self.network.config.problem_type
            if problem == "regression":
                return logits
            if problem == "multi_label_classification" or self.network.config.num_labels == 1:
                return torch.sigmoid(logits)
            return torch.softmax(logits, dim=-1)

        return {**self.in_batches(tokens.rows, compute), **tokens.usage(), "output_tokens": 0}


class Generator(Model):
    """text-generation: each text continued by itself, so that neighbours change nothing."""

    def __init__(self, network: Any, tokenizer: Any, device: str) -> None:
        super().__init__(network, tokenizer, device)
        ends = network.config.eos_token_id
        # The release's own generation settings could force tokens, beams or processors: they are left out.
        network.generation_config = GenerationConfig(
            eos_token_id=ends if ends is not None else tokenizer.eos_token_id,
            bos_token_id=network.config.bos_token_id,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        )

    def run(self, texts: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
        room = min(parameters["max_new_tokens"], self.max_length - 1)
        tokens = self.tokens(texts, room=room, truncate=parameters["truncate"], keep_end=True)
        answers = [self._continue(position, ids, parameters, room) for position, ids in enumerate(tokens.rows)]
        return {
            "texts": answers,
            "batches": [[1, len(ids)] for ids in tokens.rows],
            **tokens.usage(),
            "output_tokens": sum(answer["output_tokens"] for answer in answers),
        }

    def _continue(self, position: int, ids: list[int], parameters: dict[str, Any], room: int) -> dict[str, Any]:
        torch.manual_seed(parameters["seed"])
        exchange = self.exchange
        stream = TextStream(
            lambda written: _text(self.tokenizer.decode(written, **_PLAIN_TEXT)),
            stops=parameters["stop"],
            give=lambda text: exchange.part(position, text) if exchange is not None else None,
        )
        prompt = torch.tensor([ids], device=self.device)
        whole = self.network.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=room,
            stopping_criteria=StoppingCriteriaList([_AfterToken(len(ids), stream, exchange)]),
            logits_processor=LogitsProcessorList([_Finite()]),
            **_sampling(parameters),
        )
        written = whole[0][len(ids) :].tolist()
        text = stream.finish()
        ended = stream.is_stopped or (bool(written) and written[-1] in self._end_tokens())
        return {"text": text, "finish_reason": "stop" if ended else "length", "output_tokens": len(written)}

    def _end_tokens(self) -> list[int]:
        ends = self.network.generation_config.eos_token_id
        return ends if isinstance(ends, list) else [ends]


class _Finite(LogitsProcessor):
    """Refuses logits without meaning: of NaN, greedy decoding would make token 0 without a word."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if torch.isnan(scores).any() or torch.isposinf(scores).any():
            raise Refusal("output.invalid", "not_finite")
        return scores


class _AfterToken(StoppingCriteria):
    """Called after each token: hands its text on, ends at a stop text, or where nobody wants the rest."""

    def __init__(self, prompt_length: int, stream: TextStream, exchange: Exchange | None) -> None:
        self._prompt_length, self._stream, self._exchange = prompt_length, stream, exchange

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        if self._exchange is not None:
            self._exchange.check()
        self._stream.push(input_ids[0][self._prompt_length :].tolist())
        return torch.tensor([self._stream.is_stopped], device=input_ids.device)


def _text(value: Any) -> str:
    """Text that the wire can carry: JSON can spell half of a surrogate pair."""
    return str(value).encode("utf-8", "replace").decode()


def _sampling(parameters: dict[str, Any]) -> dict[str, Any]:
    if parameters["temperature"] < 0.01:  # division by less overflows
        return {"do_sample": False}
    return {
        "do_sample": True,
        "temperature": parameters["temperature"],
        "top_p": parameters["top_p"],
        "top_k": 0,
    }


# Task -> (class here, class of transformers, prefixes of weights that the task does not use).
_KINDS: dict[str, tuple[type[Model], Any, tuple[str, ...]]] = {
    "feature-extraction": (Embedder, AutoModel, ("pooler.",)),
    "text-classification": (Classifier, AutoModelForSequenceClassification, ()),
    "text-generation": (Generator, AutoModelForCausalLM, ()),
}
