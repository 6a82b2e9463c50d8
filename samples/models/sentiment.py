"""The sentiment sample: a small BERT, trained from nothing on generated reviews."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from samples.corpora import handwritten
from samples.corpora.reviews import LABELS, Review, review_list
from samples.models.baselines import BagOfWords, majority_accuracy
from samples.models.figures import Figure

TRAIN_COUNT, TEST_COUNT = 24_000, 2_000
TRAIN_SEED, TEST_SEED, WEIGHT_SEED = 11, 22, 33
VOCABULARY, MAX_LENGTH = 1200, 64
EPOCHS, BATCH, LEARNING_RATE = 8, 64, 2e-3
# This share of words is hidden in training, so that an unknown word is not taken for a sign.
HIDDEN_SHARE, PAD, UNKNOWN, SPECIAL = 0.06, 0, 1, 5


def _train_set() -> list[Review]:
    return review_list(TRAIN_COUNT, seed=TRAIN_SEED, held_out=False)


def _hand_set() -> list[Review]:
    groups = (handwritten.NEGATIVE, handwritten.NEUTRAL, handwritten.POSITIVE)
    return [Review(text, label) for label, texts in enumerate(groups) for text in texts]


def tokenizer_build(texts: list[str]) -> Tokenizer:
    """Train a lower-casing WordPiece tokenizer on `texts`."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token=special[UNKNOWN]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=list("abcdefghijklmnopqrstuvwxyz0123456789")
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _config(vocabulary: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )


def _batches(tokenizer: Tokenizer, reviews: list[Review], order: list[int]) -> list[tuple[torch.Tensor, ...]]:
    encoded = [tokenizer.encode(review.text).ids[:MAX_LENGTH] for review in reviews]
    found = []
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        width = max(len(encoded[row]) for row in rows)
        ids = torch.tensor([encoded[row] + [PAD] * (width - len(encoded[row])) for row in rows])
        found.append((ids, (ids != PAD).long(), torch.tensor([reviews[row].label for row in rows])))
    return found


def _fit(model: BertForSequenceClassification, tokenizer: Tokenizer, reviews: list[Review]) -> None:
    steps = EPOCHS * -(-len(reviews) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    model.train()
    for epoch in range(EPOCHS):
        total = 0.0
        for ids, mask, labels in _batches(tokenizer, reviews, torch.randperm(len(reviews)).tolist()):
            hidden = (torch.rand(ids.shape) < HIDDEN_SHARE) & (ids >= SPECIAL)
            loss = model(input_ids=ids.masked_fill(hidden, UNKNOWN), attention_mask=mask, labels=labels).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(labels)
        print(f"  epoch {epoch + 1} of {EPOCHS}: loss {total / len(reviews):.4f}")
    model.eval()


def train(directory: Path) -> None:
    """Write weights, configuration and tokenizer to `directory`."""
    torch.manual_seed(WEIGHT_SEED)
    reviews = _train_set()
    tokenizer = tokenizer_build([review.text for review in reviews])
    model = BertForSequenceClassification(_config(tokenizer.get_vocab_size()))
    _fit(model, tokenizer, reviews)
    model.save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": MAX_LENGTH,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _accuracy(directory: Path, reviews: list[Review]) -> float:
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False, use_safetensors=True
    ).eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(reviews), 100):
            part = reviews[start : start + 100]
            answers = model(**tokenizer([r.text for r in part], padding=True, return_tensors="pt")).logits.argmax(dim=1)
            right += sum(int(answer) == review.label for answer, review in zip(answers, part, strict=True))
    return right / len(reviews)


def evaluate(directory: Path) -> list[Figure]:
    """Measure the weights in `directory` and the baselines, on held-out and on hand-written sentences."""
    reviews, test, hand = _train_set(), review_list(TEST_COUNT, seed=TEST_SEED, held_out=True), _hand_set()
    labels = [review.label for review in reviews]
    words = BagOfWords([review.text for review in reviews], labels)
    held_out, by_hand = f"{TEST_COUNT} held-out generated reviews", f"{len(hand)} hand-written sentences"
    reached, outside = _accuracy(directory, test), _accuracy(directory, hand)
    texts, answers = [r.text for r in test], [r.label for r in test]
    hand_words = words.accuracy([r.text for r in hand], [r.label for r in hand])
    linear = "bag-of-words logistic regression"
    return [
        Figure("accuracy", held_out, reached, "majority class", majority_accuracy(labels, answers)),
        Figure("accuracy", held_out, reached, linear, words.accuracy(texts, answers)),
        Figure("accuracy", by_hand, outside, linear, hand_words, claim=False),
    ]
