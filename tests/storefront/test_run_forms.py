"""The run form and the result of every task."""

import base64
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from marketplace.inference.models import Job
from marketplace.inference.selectors import job_request
from marketplace.storefront.forms import RunForm
from marketplace.storefront.results import results_of
from models_registry.models import Release
from models_registry.runtime.tasks import TASKS, FileInput, PairInput
from tests.fixtures.media import image_of, png_that_says

PICTURE = image_of("PNG", 16, 16)


@pytest.fixture
def run(signed_in, listed, broker, holder):
    """`run(task, **form)`: send the form of a model of the task."""

    def send(task: str, **form: object):
        Release.objects.update(task=task)
        return signed_in(holder).post(f"{listed.url}run/", {"nonce": uuid.uuid4().hex, **form})

    return send


def filled(task: str) -> dict[str, object]:
    """What a browser sends of a form that nobody changed, with a file where one is asked for."""
    form = RunForm(TASKS[task])
    values = {field.name: field.initial for field in form if field.initial not in (None, False, "")}
    return {"file": SimpleUploadedFile("own.png", PICTURE), **values} if "file" in form.fields else values


@pytest.mark.parametrize("task", TASKS)
def test_page_of_a_model_of_the_task_has_a_form_of_its_own(task, listed, signed_in, holder, read):
    Release.objects.update(task=task)
    response = signed_in(holder).get(listed.url)
    names = {tag.get("name") for _name, tag in read(response).tags}
    kind = TASKS[task].kind
    wanted = {"file"} if isinstance(kind, FileInput) else {"inputs"}
    if isinstance(kind, PairInput):
        wanted = {f"input_{name}" for name, _ in kind.fields}
    assert wanted | {parameter.name for parameter in TASKS[task].parameters} <= names
    assert ('enctype="multipart/form-data"' in response.content.decode()) == isinstance(kind, FileInput)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "automatic-speech-recognition"])
def test_form_as_it_comes_makes_a_job(run, task):
    assert run(task, **filled(task)).status_code == 302
    request = job_request(Job.objects.get())
    spec = TASKS[task]
    assert request["parameters"] == spec.validate_parameters(dict(spec.example.parameters))
    if isinstance(spec.kind, FileInput):
        assert base64.b64decode(request["inputs"][0]["data"]) == PICTURE
    else:
        assert request["inputs"] == list(spec.example.inputs)


def test_pair_is_sent_as_an_object(run):
    run("question-answering", input_question="Who?", input_context="Simon\r\nStevin.")
    assert job_request(Job.objects.get())["inputs"] == [{"question": "Who?", "context": "Simon\nStevin."}]


def test_labels_are_taken_one_a_line(run):
    run(
        "zero-shot-classification",
        inputs="Late.",
        candidate_labels="price\r\n\r\nthe delivery",
        hypothesis_template="It is about {}.",
    )
    parameters = job_request(Job.objects.get())["parameters"]
    assert parameters["candidate_labels"] == ["price", "the delivery"]
    assert parameters["hypothesis_template"] == "It is about {}."


@pytest.mark.parametrize(
    ("task", "form", "said"),
    [
        ("zero-shot-classification", {"inputs": "Late."}, "required"),
        ("question-answering", {"input_question": "Who?"}, "required"),
        ("image-classification", {}, "Choose a file of at most 4.2 MB"),
        ("image-classification", {"file": SimpleUploadedFile("a.png", b"GIF89a")}, "no PNG, JPEG or WebP"),
        ("image-classification", {"file": SimpleUploadedFile("a.png", png_that_says(60_000, 60_000))}, "60000 x 60000"),
        ("image-classification", {"file": SimpleUploadedFile("a.png", PICTURE + bytes(5_000_000))}, "at most 4194304"),
        ("automatic-speech-recognition", {"file": SimpleUploadedFile("a.wav", PICTURE)}, "no WAV file"),
    ],
)
def test_bad_form_is_refused_with_its_reason(run, read, task, form, said):
    response = run(task, **form)
    assert response.status_code == 422
    assert said in read(response).text
    assert not Job.objects.exists()


def test_file_of_a_job_is_never_written_to_disk(run, monkeypatch, settings):
    monkeypatch.setattr("django.core.files.uploadedfile.TemporaryUploadedFile.__init__", None)
    large = PICTURE + bytes(3_000_000)
    assert len(large) > settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    assert run("image-classification", file=SimpleUploadedFile("a.png", large)).status_code == 302


def test_file_of_a_quote_may_be_as_large_as_that_of_a_job_and_is_never_written_to_disk(
    listed, signed_in, holder, broker, monkeypatch, settings
):
    monkeypatch.setattr("django.core.files.uploadedfile.TemporaryUploadedFile.__init__", None)
    Release.objects.update(task="image-classification")
    large = SimpleUploadedFile("a.png", PICTURE + bytes(3_000_000))
    assert large.size > settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    assert signed_in(holder).post(f"{listed.url}run/quote/", {"file": large}).status_code == 200


def test_file_larger_than_a_request_may_be_is_refused_unread(run):
    response = run("image-classification", file=SimpleUploadedFile("a.png", bytes(9_000_000)))
    assert response.status_code == 413


def test_entities_are_marked_in_their_text():
    text = "Simon lived in Delft."
    entities = [
        {"label": "PER", "start": 0, "end": 5, "text": "Simon", "score": 0.9},
        {"label": "LOC", "start": 15, "end": 20, "text": "Delft", "score": 0.8},
        {"label": "BAD", "start": 16, "end": 18, "text": "el", "score": 0.1},
    ]
    (result,) = results_of("token-classification", [text], [entities])
    assert "".join(part.text for part in result.parts) == text
    assert [(part.label, part.text) for part in result.parts if part.is_marked] == [("PER", "Simon"), ("LOC", "Delft")]
    assert not result.is_empty


def test_answer_is_marked_in_its_context():
    pair = {"question": "Where?", "context": "He lived in Delft."}
    output = {"start": 12, "end": 17, "text": "Delft", "score": 0.7}
    (result,) = results_of("question-answering", [pair], [output])
    assert (result.input, [part.text for part in result.parts]) == ("Where?", ["He lived in ", "Delft", "."])
    (none,) = results_of("question-answering", [pair], [{"start": 0, "end": 0, "text": "", "score": 0.7}])
    assert none.is_empty


def test_masks_labels_and_transcripts_have_results():
    masks = [[{"text": "middle", "token": 5, "score": 0.5}]]
    (filled_in,) = results_of("fill-mask", ["In the [MASK]."], [masks])
    assert [entry.label for entry in filled_in.masks[0]] == ["middle"]
    (seen,) = results_of("image-classification", [{"data": "aGVsbG8="}], [[{"label": "cat", "score": 0.5}]])
    assert (seen.kind, seen.input) == ("scores", "")
    (heard,) = results_of("automatic-speech-recognition", [{"data": "aGVsbG8="}], [{"text": "weigh it"}])
    assert (heard.kind, heard.text) == ("transcript", "weigh it")


def test_chat_is_shown_by_its_last_message():
    chat = {"messages": [{"role": "user", "content": "Weigh it."}]}
    output = {"text": "Done.", "finish_reason": "stop", "output_tokens": 2}
    (result,) = results_of("text-generation", [chat], [output])
    assert (result.input, result.prompt, result.text) == ("Weigh it.", "", "Done.")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("output", [None, 3, "text", {"label": 1}, [{"score": "x"}], [["a"]], [[["a"]]], {"text": 1}])
def test_output_of_another_form_never_breaks_the_page(task, output):
    example = list(TASKS[task].example.inputs)
    assert len(results_of(task, example, [output])) == 1
