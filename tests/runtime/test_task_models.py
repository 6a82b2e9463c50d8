"""Each further task gives what transformers gives in this process on the same weights."""

# ruff: noqa: PLC0415 - torch and transformers take seconds to import, so only the tests that compare do it

import base64
import io
import math

import numpy as np
import pytest

from models_registry.runtime.errors import InputError, ModelUnloadableError, OutputInvalidError, RunnerDeadlineError
from models_registry.runtime.tasks import TASKS
from tests.fixtures.media import image_of, tone, wav_of
from tests.fixtures.weights import readable
from tests.runtime.spoil import change_config, change_weights, copied
from tests.runtime.support import eventually, spec_of

TOLERANCE = 1e-5
TEXTS = [
    "the weigh house was exact, and the scale true",
    "good",
    "once upon a time there lived a model of the house. " * 12,
    "Grüße, 世界, emoji \U0001f600 and\ttabs\nand the lines",
]


@pytest.fixture(scope="module")
def pipeline():
    import torch
    from transformers import pipeline

    with torch.inference_mode():
        yield pipeline


def scores(entries):
    return [entry["score"] for entry in entries]


@pytest.mark.parametrize("aggregation", ["none", "simple"])
def test_entities_equal_the_pipeline_of_transformers(pool, specs, pipeline, aggregation):
    spec = specs["token-classification"]
    find = pipeline("token-classification", model=str(spec.release_path), aggregation_strategy=aggregation)
    found = pool.run(spec, TEXTS, {"aggregation": aggregation}, 60).outputs
    assert sum(map(len, found)) > 20
    for text, given, expected in zip(TEXTS, found, find(TEXTS), strict=True):
        name = "entity" if aggregation == "none" else "entity_group"
        assert [(e["label"], e["start"], e["end"]) for e in given] == [
            (e[name], e["start"], e["end"]) for e in expected
        ]
        assert np.allclose(scores(given), scores(expected), atol=TOLERANCE, rtol=0)
        assert all(entry["text"] == text[entry["start"] : entry["end"]] for entry in given)


def test_masks_are_filled_as_by_the_pipeline_of_transformers(pool, specs, pipeline):
    spec = specs["fill-mask"]
    fill = pipeline("fill-mask", model=str(spec.release_path), top_k=7)
    texts = ["the [MASK] house was good", "a [MASK] and [MASK] not"]
    one, two = pool.run(spec, texts, {"top_k": 7}, 60).outputs
    for given, expected in zip([*one, *two], [fill(texts[0]), *fill(texts[1])], strict=True):
        assert [(e["token"], e["text"]) for e in given] == [(e["token"], e["token_str"]) for e in expected]
        assert np.allclose(scores(given), scores(expected), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("no word is missing", r"Input 1 has no mask within what the model reads\. Put \[MASK\]"),
        (["a [MASK]", "the " * 80 + "[MASK]"], "Input 2 has no mask"),
        ("[MASK] " * 17, "more than 16 masks"),
    ],
)
def test_text_without_a_mask_or_with_too_many_is_refused_in_a_sentence(pool, specs, texts, words):
    with pytest.raises(InputError, match=words):
        pool.run(specs["fill-mask"], texts, {}, 60)


def answer_by_hand(path, pair, longest):
    """The best span of one window, every pair of tokens tried in turn: transformers 5 has no pipeline for it."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    network = AutoModelForQuestionAnswering.from_pretrained(path).eval()
    encoded = tokenizer(pair["question"], pair["context"], return_tensors="pt", return_offsets_mapping=True)
    offsets, parts = encoded.pop("offset_mapping")[0].tolist(), encoded.sequence_ids(0)
    answer = network(**encoded)
    inside = [index for index, part in enumerate(parts) if part == 1]
    allowed = [0, *inside]

    def chances(logits):
        weights = {index: math.exp(logits[index].item()) for index in allowed}
        return {index: weight / sum(weights.values()) for index, weight in weights.items()}

    with torch.inference_mode():
        start, end = chances(answer.start_logits[0]), chances(answer.end_logits[0])
    tried = [(start[a] * end[b], a, b) for a in inside for b in inside if a <= b < a + longest]
    score, first, last = max(tried)
    return score, offsets[first][0], offsets[last][1], start[0] * end[0]


PAIRS = [
    {
        "question": "was the scale exact",
        "context": "the weigh house was good, and the scale was exact before the trade",
    },
    {"question": "who lived there", "context": "Ünïcode \U0001f600 there lived a model, and it is not true"},
]


@pytest.mark.parametrize("longest", [2, 15])
def test_answers_equal_a_search_by_hand(pool, specs, longest):
    spec = specs["question-answering"]
    outputs = pool.run(spec, PAIRS, {"max_answer_tokens": longest}, 60).outputs
    for pair, given in zip(PAIRS, outputs, strict=True):
        score, start, end, _ = answer_by_hand(spec.release_path, pair, longest)
        assert (given["start"], given["end"]) == (start, end)
        assert given["text"] == pair["context"][start:end]
        assert given["score"] == pytest.approx(score, abs=TOLERANCE)


def test_impossible_question_has_an_empty_answer_where_it_is_allowed(pool, specs):
    spec = specs["question-answering"]
    contexts = [
        {"question": "is it", "context": " ".join(["scale", "true", "goods"][: n % 3 + 1] * n)} for n in range(1, 9)
    ]
    allowed = pool.run(spec, contexts, {"handle_impossible": True}, 60).outputs
    plain = pool.run(spec, contexts, {}, 60).outputs
    for pair, given, sure in zip(contexts, allowed, plain, strict=True):
        score, _, _, none = answer_by_hand(spec.release_path, pair, 15)
        assert sure["text"]
        assert (given["text"] == "") == (none > score)
        assert given["score"] == pytest.approx(max(score, none), abs=TOLERANCE)


def test_answer_is_found_in_a_context_longer_than_the_model_reads(pool, specs):
    spec = specs["question-answering"]
    pair = {"question": "was it", "context": "goods before " * 200 + "the scale was exact " + "goods before " * 200}
    result = pool.run(spec, pair, {}, 60)
    assert sum(rows for rows, _ in result.fingerprint["batches"]) > 5
    assert result.usage["truncated"] == []
    assert result.outputs[0]["text"] == pair["context"][result.outputs[0]["start"] : result.outputs[0]["end"]]


@pytest.mark.parametrize("multi_label", [False, True])
def test_own_labels_are_scored_as_by_the_pipeline_of_transformers(pool, specs, pipeline, multi_label):
    spec = specs["zero-shot-classification"]
    asked = {
        "candidate_labels": ["good trade", "bad", "a weigh house and a scale"],
        "multi_label": multi_label,
        "hypothesis_template": "it is {}",
    }
    classify = pipeline("zero-shot-classification", model=str(spec.release_path))
    for given, expected in zip(pool.run(spec, TEXTS, asked, 60).outputs, classify(TEXTS, **asked), strict=True):
        assert [entry["label"] for entry in given] == expected["labels"]
        assert np.allclose(scores(given), expected["scores"], atol=TOLERANCE, rtol=0)


def test_single_own_label_is_scored_by_itself(pool, specs, pipeline):
    spec = specs["zero-shot-classification"]
    classify = pipeline("zero-shot-classification", model=str(spec.release_path))
    given = pool.run(spec, TEXTS[0], {"candidate_labels": ["good"]}, 60).outputs[0]
    assert scores(given) == pytest.approx(classify(TEXTS[0], ["good"])["scores"], abs=TOLERANCE)


def test_label_that_leaves_no_room_for_the_text_is_refused(pool, specs):
    with pytest.raises(InputError, match="longer than 32 tokens"):
        pool.run(specs["zero-shot-classification"], "good", {"candidate_labels": ["a " * 60]}, 60)


def test_model_without_a_label_of_entailment_is_refused(pool, tiny_classifier):
    with pytest.raises(ModelUnloadableError, match="begins with entail"):
        pool.run(spec_of(tiny_classifier, "zero-shot-classification"), "good", {"candidate_labels": ["a"]}, 60)


def test_rewritten_text_equals_generate_of_transformers(pool, specs):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    spec = specs["text2text-generation"]
    tokenizer = AutoTokenizer.from_pretrained(spec.release_path)
    network = AutoModelForSeq2SeqLM.from_pretrained(spec.release_path).eval()
    texts = ["once upon a time", "Weigh it."]
    for text, given in zip(texts, pool.run(spec, texts, {"max_new_tokens": 24}, 60).outputs, strict=True):
        written = network.generate(
            tokenizer(text, return_tensors="pt")["input_ids"], max_new_tokens=24, do_sample=False
        )
        assert given["text"] == tokenizer.decode(written[0][1:], skip_special_tokens=True)
        assert given["output_tokens"] == len(written[0]) - 1
        assert given["text"]


def test_images_are_scored_as_by_the_pipeline_of_transformers(pool, specs, pipeline):
    from PIL import Image

    spec = specs["image-classification"]
    classify = pipeline("image-classification", model=str(spec.release_path))
    files = [
        image_of(kind, width, height) for kind, width, height in [("PNG", 64, 48), ("JPEG", 31, 200), ("WEBP", 32, 32)]
    ]
    inputs = [{"data": base64.b64encode(data).decode()} for data in files]
    for data, given in zip(files, pool.run(spec, inputs, {"top_k": 4}, 60).outputs, strict=True):
        expected = classify(Image.open(io.BytesIO(data)), top_k=4)
        assert [entry["label"] for entry in given] == [entry["label"] for entry in expected]
        assert np.allclose(scores(given), scores(expected), atol=TOLERANCE, rtol=0)


def test_image_that_breaks_off_is_refused_and_the_runner_lives(pool, specs):
    spec = specs["image-classification"]
    whole = image_of("PNG", 64, 64)
    pool.run(spec, {"data": base64.b64encode(whole).decode()}, {}, 60)
    before = pool.pids()[spec.key]
    with pytest.raises(InputError, match="could not be decoded"):
        pool.run(spec, {"data": base64.b64encode(whole[:200]).decode()}, {}, 60)
    assert pool.pids()[spec.key] == before


def test_speech_equals_the_pipeline_of_transformers(pool, specs, pipeline):
    spec = specs["automatic-speech-recognition"]
    hear = pipeline("automatic-speech-recognition", model=str(spec.release_path))
    noise = np.random.default_rng(5).normal(0, 0.2, 16_000)
    chirp = np.sin(np.cumsum(np.linspace(0.01, 2.0, 12_000))) * 0.5
    for wave in (noise, chirp):
        samples = np.clip(wave * 32767, -32768, 32767).astype("<i2")
        expected = hear({"raw": samples.astype(np.float32) / 32768, "sampling_rate": 16_000})["text"]
        data = base64.b64encode(wav_of(samples, 16_000)).decode()
        assert pool.run(spec, {"data": data}, {}, 60).outputs == [{"text": expected}]
        assert len(set(expected)) > 1


def test_stereo_and_another_rate_are_heard_as_the_same_sound(pool, specs):
    spec = specs["automatic-speech-recognition"]
    mono = wav_of(tone(440, 16_000, 1.0), 16_000)
    both = wav_of(np.repeat(tone(440, 16_000, 1.0)[:, None], 2, axis=1), 16_000)
    heard = pool.run(spec, [{"data": base64.b64encode(data).decode()} for data in (mono, both)], {}, 60).outputs
    assert heard[0] == heard[1]
    other = pool.run(spec, {"data": base64.b64encode(wav_of(tone(440, 44_100, 1.0), 44_100)).decode()}, {}, 60)
    assert other.usage["input_tokens"] == 16_000


@pytest.fixture
def chatty(tiny_generator, tmp_path):
    """The tiny generator with a chat template of its own."""
    release = copied(tiny_generator, tmp_path)
    return lambda template: readable(written(release, template))


def written(release, template):
    (release / "chat_template.jinja").write_text(template)
    return release


PLAIN = (
    "{% for m in messages %}{{ m.role }} says {{ m.content }}. {% endfor %}"
    "{% if add_generation_prompt %}assistant says {% endif %}"
)
CHAT = [
    {"role": "user", "content": "weigh it"},
    {"role": "assistant", "content": "done"},
    {"role": "user", "content": "go"},
]


def test_chat_is_continued_as_its_template_writes_it(pool, chatty):
    spec = spec_of(chatty(PLAIN), "text-generation")
    text = "user says weigh it. assistant says done. user says go. assistant says "
    chat, prompt = pool.run(spec, [{"messages": CHAT}, text], {"max_new_tokens": 16}, 60).outputs
    assert chat == prompt and chat["text"]
    assert pool.run(spec, CHAT, {"max_new_tokens": 16}, 60).outputs == [chat]


def test_chat_is_refused_where_the_model_has_no_template(pool, specs):
    with pytest.raises(InputError, match="has no chat template"):
        pool.run(specs["text-generation"], CHAT, {}, 60)


def test_template_that_refuses_or_reaches_for_python_is_an_input_error(pool, chatty):
    spec = spec_of(
        chatty("{% if messages|length > 2 %}{{ raise_exception('alternate') }}{% endif %}{{ ''.__class__.__mro__ }}"),
        "text-generation",
    )
    for chat in (CHAT, CHAT[:1]):
        with pytest.raises(InputError, match="refused by the model's chat template"):
            pool.run(spec, chat, {}, 60)


def test_template_that_refuses_with_the_chat_in_its_words_does_not_bring_it_into_the_log(pool, chatty):
    spec = spec_of(chatty("{{ raise_exception(messages[0].content) }}"), "text-generation")
    with pytest.raises(InputError) as refused:
        pool.run(spec, [{"role": "user", "content": "planted words"}], {}, 60)
    runner = pool._slots[spec.key].runner
    assert eventually(lambda: "TemplateError" in runner.log())
    assert "planted" not in runner.log() + str(refused.value)


def test_template_without_end_is_stopped_by_the_clock(pool, chatty):
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    spec = spec_of(chatty(loop), "text-generation")
    pool.run(spec, "good", {"max_new_tokens": 1}, 60)
    with pytest.raises(RunnerDeadlineError):
        pool.run(spec, CHAT, {}, 1.0)


@pytest.mark.parametrize(
    ("task", "tensor"),
    [
        ("token-classification", "classifier.weight"),
        ("fill-mask", "cls.predictions.transform.LayerNorm.weight"),
        ("question-answering", "qa_outputs.weight"),
        ("zero-shot-classification", "classifier.weight"),
        ("image-classification", "classifier.weight"),
        ("automatic-speech-recognition", "lm_head.weight"),
    ],
)
def test_logits_of_nan_give_no_answer(pool, tiny_models, tmp_path, task, tensor):
    release = copied(tiny_models[task], tmp_path)
    change_weights(release, lambda tensors: tensors[tensor].fill(float("nan")))
    example = TASKS[task].example
    with pytest.raises(OutputInvalidError, match="NaN"):
        pool.run(spec_of(release, task), list(example.inputs), dict(example.parameters), 60)


def test_head_with_fewer_labels_than_the_configuration_names_is_refused(pool, tiny_models, tmp_path):
    release = copied(tiny_models["token-classification"], tmp_path)
    names = {str(index): f"L{index}" for index in range(9)}
    change_config(release, id2label=names, label2id={name: int(index) for index, name in names.items()})
    with pytest.raises(ModelUnloadableError):
        pool.run(spec_of(release, "token-classification"), "good", {}, 60)


@pytest.mark.parametrize("task", ["token-classification", "question-answering", "zero-shot-classification"])
def test_text_of_the_greatest_length_is_answered(pool, specs, task):
    most = "a " * 8_000
    value = {"question": "a", "context": most} if task == "question-answering" else most
    parameters = {"candidate_labels": ["good", "bad"]} if task.startswith("zero") else {}
    assert pool.run(specs[task], [value], parameters, 120).usage["truncated"] == [0]
