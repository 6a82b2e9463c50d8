"""Jobs whose inputs are files, pairs and chats, through the API."""

import base64

import pytest

from marketplace.inference.models import Job, JobPayload
from marketplace.inference.selectors import job_request
from models_registry.models import Release
from tests.fixtures.media import image_of, png_that_says, tone, wav_of

pytestmark = pytest.mark.django_db

PICTURE = {"data": base64.b64encode(image_of("WEBP", 24, 24)).decode()}
SOUND = {"data": base64.b64encode(wav_of(tone(440, 16_000, 1.0), 16_000)).decode()}
PAIR = {"question": "Who?", "context": "Simon Stevin."}
CHAT = [{"role": "user", "content": "Weigh it."}]


@pytest.fixture
def post(sell, with_key, buyer):
    sold = sell(calls=30)
    client = with_key(buyer, "run")

    def send(task, inputs, **parameters):
        Release.objects.update(task=task)
        body = {"model": str(sold.model_id), "inputs": inputs, "parameters": parameters}
        return client.post("/api/v1/jobs", body, format="json")

    return send


@pytest.mark.parametrize(
    ("task", "inputs", "kept"),
    [
        ("image-classification", PICTURE, [PICTURE]),
        ("image-classification", [PICTURE, PICTURE], [PICTURE, PICTURE]),
        ("automatic-speech-recognition", SOUND, [SOUND]),
        ("question-answering", PAIR, [PAIR]),
        ("text-generation", CHAT, [{"messages": CHAT}]),
    ],
)
def test_input_of_the_tasks_kind_is_accepted_and_kept_encrypted(post, task, inputs, kept):
    assert post(task, inputs).status_code == 202
    assert job_request(Job.objects.get())["inputs"] == kept
    stored = bytes(JobPayload.objects.get().request)
    assert b"Weigh it" not in stored and b"Stevin" not in stored


@pytest.mark.parametrize(
    ("task", "inputs", "said"),
    [
        ("image-classification", "https://example.org/cat.png", "one of them"),
        (
            "image-classification",
            {"data": base64.b64encode(png_that_says(65_000, 65_000)).decode()},
            "65000 x 65000 pixels",
        ),
        ("image-classification", SOUND, "no PNG, JPEG or WebP"),
        ("automatic-speech-recognition", PICTURE, "no WAV file"),
        ("question-answering", ["Who?"], "question and context"),
        ("zero-shot-classification", ["Late."], "needs the parameter candidate_labels"),
        ("text-generation", [{"role": "root", "content": "x"}], "system, user, assistant"),
    ],
)
def test_input_of_another_kind_is_refused_in_a_sentence_and_costs_nothing(post, task, inputs, said):
    response = post(task, inputs)
    assert (response.status_code, response.json()["code"]) == (422, "input.invalid")
    assert said in response.json()["detail"]
    assert not Job.objects.exists()


def test_greatest_file_fits_a_request(post):
    samples = tone(440, 48_000, 60)
    whole = wav_of(samples, 48_000)
    assert 5_700_000 < len(whole) < 6_000_000
    assert post("automatic-speech-recognition", {"data": base64.b64encode(whole).decode()}).status_code == 202
