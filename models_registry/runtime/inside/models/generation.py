"""Writing text: text-generation and text2text-generation. Each input by itself, so that neighbours change nothing."""

import sys
import traceback
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from models_registry.runtime.inside.models.base import TextModel, Tokens, text_of
from models_registry.runtime.inside.serve import Exchange, Refusal
from models_registry.runtime.inside.streaming import TextStream

# A prompt is cut only where it leaves no room for so many tokens.
_LEAST_ROOM = 16
# Tidying spaces would change text that was given out before.
_PLAIN_TEXT = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}


class Generator(TextModel):
    """text-generation: each text continued, each chat answered."""

    def __init__(self, network: Any, tokenizer: Any, *, device: str) -> None:
        super().__init__(network, tokenizer, device=device)
        self.ends = _end_tokens(network, tokenizer)
        # The release's own generation settings could force tokens, beams or processors: they are left out.
        network.generation_config = GenerationConfig(
            eos_token_id=self.ends,
            bos_token_id=getattr(network.config, "bos_token_id", None),
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
            decoder_start_token_id=getattr(network.config, "decoder_start_token_id", None),
        )

    def run(self, inputs: list[Any], parameters: dict[str, Any]) -> dict[str, Any]:
        asked = parameters["max_new_tokens"]
        tokens = self.prompts(inputs, asked=asked, truncate=parameters["truncate"])
        answers = [
            self._continue(position, ids, parameters, min(asked, self.room(ids)))
            for position, ids in enumerate(tokens.rows)
        ]
        return {
            "texts": answers,
            "batches": [[1, len(ids)] for ids in tokens.rows],
            **tokens.usage(),
            "output_tokens": sum(answer["output_tokens"] for answer in answers),
        }

    def prompts(self, inputs: list[Any], *, asked: int, truncate: bool) -> Tokens:
        """Token ids of each text or chat, with room left to write in: for `asked` tokens where nothing may be cut.

        Elsewhere the whole prompt comes first, and less is written; yet a few tokens always.
        """
        rows = [
            self.tokenizer(given, verbose=False)["input_ids"] if isinstance(given, str) else self._chat(given, position)
            for position, given in enumerate(inputs)
        ]
        room = min(asked, _LEAST_ROOM, self.max_length // 2) if truncate else asked
        return self.fitted(rows, room=room, truncate=truncate, cut=lambda _, ids, longest: ids[-longest:])

    def room(self, ids: list[int]) -> int:
        """How many tokens the model can write after a prompt."""
        return self.max_length - len(ids)

    def prompt_length(self, ids: list[int]) -> int:
        """How many tokens of what `generate` returns were there before it."""
        return len(ids)

    def _chat(self, chat: dict[str, Any], position: int) -> list[int]:
        """Token ids of a chat by the release's template. The template may loop: the host's clock ends that."""
        if self.tokenizer.chat_template is None:
            raise Refusal("input.invalid", "no_chat_template", position=position)
        try:
            text = self.tokenizer.apply_chat_template(chat["messages"], tokenize=False, add_generation_prompt=True)
        except (
            TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as e:
            # Not its text: a template can put the chat into it, and the operator's log is to know no input.
            traceback.print_tb(e.__traceback__, file=sys.stderr)
            print(type(e).__name__, file=sys.stderr)  # noqa: T201
            raise Refusal("input.invalid", "chat_template", position=position) from e
        # The template writes the special tokens itself.
        ids: list[int] = self.tokenizer(text_of(text), add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _continue(self, position: int, ids: list[int], parameters: dict[str, Any], room: int) -> dict[str, Any]:
        torch.manual_seed(parameters["seed"])
        exchange = self.exchange
        stream = TextStream(
            lambda written: text_of(self.tokenizer.decode(written, **_PLAIN_TEXT)),
            stops=parameters["stop"],
            give=lambda text: exchange.part(position, text) if exchange is not None else None,
        )
        prompt = torch.tensor([ids], device=self.device)
        whole = self.network.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=room,
            stopping_criteria=StoppingCriteriaList([_AfterToken(self.prompt_length(ids), stream, exchange)]),
            logits_processor=LogitsProcessorList([_Finite()]),
            **_sampling(parameters),
        )
        written = whole[0][self.prompt_length(ids) :].tolist()
        text = stream.finish()
        ended = stream.is_stopped or (bool(written) and written[-1] in self.ends)
        return {"text": text, "finish_reason": "stop" if ended else "length", "output_tokens": len(written)}


class Rewriter(Generator):
    """text2text-generation: an encoder reads the text, a decoder writes another one."""

    def prompts(self, inputs: list[Any], *, asked: int, truncate: bool) -> Tokens:
        # What is written has positions of its own.
        return self.tokens(inputs, truncate=truncate)

    def room(self, ids: list[int]) -> int:
        return self.max_length - self.prompt_length(ids)

    def prompt_length(self, ids: list[int]) -> int:
        return 1  # the token that the decoder starts with


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


def _sampling(parameters: dict[str, Any]) -> dict[str, Any]:
    if parameters["temperature"] < 0.01:  # division by less overflows
        return {"do_sample": False}
    return {
        "do_sample": True,
        "temperature": parameters["temperature"],
        "top_p": parameters["top_p"],
        "top_k": 0,
    }


def _end_tokens(network: Any, tokenizer: Any) -> list[int]:
    """All that ends a text by the release's word. Chat models name the end of a turn in one of these places alone."""
    configured = getattr(network.config, "eos_token_id", None)
    named = [configured, network.generation_config.eos_token_id, tokenizer.eos_token_id]
    flat = [token for entry in named for token in (entry if isinstance(entry, list) else [entry])]
    return sorted({token for token in flat if type(token) is int})
