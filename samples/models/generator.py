"""The text generation sample: a small Llama, trained from nothing on generated stories."""

import json
import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from samples.corpora.market_days import story_list
from samples.models.baselines import NGrams
from samples.models.figures import Figure

TRAIN_COUNT, TEST_COUNT = 8_000, 500
TRAIN_SEED, TEST_SEED, WEIGHT_SEED = 44, 55, 66
VOCABULARY, MAX_LENGTH = 640, 160
EPOCHS, BATCH, LEARNING_RATE = 8, 32, 3e-3
PAD, START, END = 0, 1, 2
IGNORED = -100  # the label that cross entropy leaves out

# It was trained on stories alone and knows no roles: what was said so far is a story, and the answer goes on with it.
CHAT_TEMPLATE = (
    "<start>{% for message in messages if message['role'] != 'system' %}"
    "{{ message['content'] }}{% if not loop.last %} {% endif %}{% endfor %}"
)


def tokenizer_build(texts: list[str]) -> Tokenizer:
    """Train a byte-level BPE tokenizer on `texts`: any text can be encoded, known words are short."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<start>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = _start_added()
    return tokenizer


def _start_added() -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single="<start> $A", special_tokens=[("<start>", START)])


def _config(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=176,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
    )


def _sequences(tokenizer: Tokenizer, *, count: int, seed: int, held_out: bool) -> list[list[int]]:
    stories = story_list(count, seed=seed, held_out=held_out)
    return [[*tokenizer.encode(story).ids[: MAX_LENGTH - 1], END] for story in stories]


def _padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
    labels = torch.tensor([row + [IGNORED] * (width - len(row)) for row in rows])
    return ids, labels


def _fit(model: LlamaForCausalLM, sequences: list[list[int]]) -> None:
    steps = EPOCHS * -(-len(sequences) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    model.train()
    for epoch in range(EPOCHS):
        order, losses = torch.randperm(len(sequences)).tolist(), []
        for start in range(0, len(order), BATCH):
            ids, labels = _padded([sequences[row] for row in order[start : start + BATCH]])
            loss = model(input_ids=ids, labels=labels).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"  epoch {epoch + 1} of {EPOCHS}: loss {sum(losses) / len(losses):.4f}")
    model.eval()


def train(directory: Path) -> None:
    """Write weights, configuration, generation settings and tokenizer to `directory`."""
    torch.manual_seed(WEIGHT_SEED)
    tokenizer = tokenizer_build(story_list(TRAIN_COUNT, seed=TRAIN_SEED, held_out=False))
    model = LlamaForCausalLM(_config(tokenizer.get_vocab_size()))
    _fit(model, _sequences(tokenizer, count=TRAIN_COUNT, seed=TRAIN_SEED, held_out=False))
    model.generation_config = GenerationConfig(
        bos_token_id=START, eos_token_id=END, pad_token_id=PAD, max_new_tokens=120, do_sample=False
    )
    model.save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 256,
        "bos_token": "<start>",
        "eos_token": "<end>",
        "pad_token": "<pad>",
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _perplexity(directory: Path, sequences: list[list[int]]) -> float:
    model = AutoModelForCausalLM.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False, use_safetensors=True
    ).eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(sequences), 50):
            ids, labels = _padded(sequences[start : start + 50])
            predicted = sum(len(row) - 1 for row in sequences[start : start + 50])
            total += model(input_ids=ids, labels=labels).loss.item() * predicted
            count += predicted
    return math.exp(total / count)


def evaluate(directory: Path) -> list[Figure]:
    """Measure the weights in `directory` and the n-gram baselines on held-out stories, token by token."""
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    known = _sequences(tokenizer.backend_tokenizer, count=TRAIN_COUNT, seed=TRAIN_SEED, held_out=False)
    test = _sequences(tokenizer.backend_tokenizer, count=TEST_COUNT, seed=TEST_SEED, held_out=True)
    grams = NGrams(known, vocabulary=len(tokenizer))
    reached, on = _perplexity(directory, test), f"{TEST_COUNT} held-out generated stories"
    measure = "perplexity per token"
    return [
        Figure(measure, on, reached, "unigram model", grams.perplexity(test, bigrams=False), better="lower"),
        Figure(measure, on, reached, "bigram model", grams.perplexity(test, bigrams=True), better="lower"),
    ]
