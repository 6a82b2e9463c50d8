"""The table of tasks."""

from typing import Any

from models_registry.runtime import media
from models_registry.runtime.explain_limits import METHODS
from models_registry.runtime.tasks import examples
from models_registry.runtime.tasks.inputs import ChatInput, FileInput, PairInput, TextInput
from models_registry.runtime.tasks.parameters import Parameter
from models_registry.runtime.tasks.specs import Example, TaskSpec

MIB = 1024 * 1024
TEXT_CHARS = 16_384
# In base64 and with what surrounds it, a file fits a request of 8 MiB, the API's default limit.
IMAGE_BYTES = 4 * MIB
AUDIO_BYTES = 6_000_000


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_NUMBER, _INTEGER, _STRING = {"type": "number"}, {"type": "integer"}, {"type": "string"}
_LABEL_SCORE = _object(label=_STRING, score=_NUMBER)
_SPAN = {"start": _INTEGER, "end": _INTEGER, "text": _STRING, "score": _NUMBER}
_GENERATION = _object(text=_STRING, finish_reason={"enum": ["stop", "length"]}, output_tokens=_INTEGER)

_TRUNCATE = Parameter("truncate", "boolean", True, "Cut an input that is longer than the model reads, and say so.")
_WRITING = (
    Parameter("max_new_tokens", "integer", 64, "Most tokens to write.", minimum=1, maximum=1024),
    Parameter(
        "temperature",
        "number",
        0.0,
        "0 takes the likeliest token, and so does anything below 0.01; above, tokens are sampled.",
        0,
        2,
    ),
    Parameter("top_p", "number", 1.0, "Sample among the likeliest tokens of this total probability.", 0.01, 1),
    Parameter("seed", "integer", 0, "The same seed gives the same sample.", 0, 2**32 - 1),
    Parameter("stop", "texts", [], "End before the first of these texts."),
    _TRUNCATE,
)

_EXPLAIN = (
    Parameter("explain", "boolean", False, "Say which tokens the first label is due to. Counts as one more call."),
    Parameter(
        "explain_method",
        "choice",
        METHODS[0],
        "How: by blanking out each token in turn, or by the gradient along the way from blanked out to the text.",
        choices=METHODS,
    ),
)
_EXPLAINED = _object(
    scores=_list_of(_LABEL_SCORE),
    explanation=_object(
        method={"enum": list(METHODS)},
        label=_STRING,
        score=_NUMBER,
        tokens=_list_of(_object(**_SPAN)),
        baseline=_object(token_vector=_STRING, label={"type": ["string", "null"]}, score=_NUMBER),
        deletion=_object(tokens=_INTEGER, drop=_NUMBER, random_drop=_NUMBER),
        warnings=_list_of(_STRING),
    ),
)
_SCORES = _list_of({"anyOf": [_list_of(_LABEL_SCORE), _EXPLAINED]})
_WRITES_A_TEXT = "each token that it writes has causes of its own"

FEATURE_EXTRACTION = TaskSpec(
    name="feature-extraction",
    title="Embeddings",
    summary="Turns each text into one vector, so that texts of like meaning lie close together.",
    kind=TextInput(TEXT_CHARS),
    output="One vector of fp32 numbers per input.",
    output_schema=_list_of(_list_of(_NUMBER)),
    parameters=(
        Parameter(
            "pooling",
            "choice",
            "mean",
            "How token vectors become one: mean over the text, or the first token's.",
            choices=("mean", "cls"),
        ),
        Parameter("normalise", "boolean", True, "Scale each vector to length 1."),
        _TRUNCATE,
    ),
    example=Example(("A weigh house certified goods before they were traded.",), {"normalise": True}),
    unexplained="a vector has no label that could be due to a token",
    max_inputs=64,
    max_reply_bytes=8 * MIB,
    joins=True,
)

TEXT_CLASSIFICATION = TaskSpec(
    name="text-classification",
    title="Classification",
    summary="Gives each text a score for every label that the model knows.",
    kind=TextInput(TEXT_CHARS),
    output="Per input, every label with its score, highest first; with explain, scores and explanation.",
    output_schema=_SCORES,
    parameters=(_TRUNCATE, *_EXPLAIN),
    example=Example(("The delivery was quick and the scales are exact.",), {}),
    max_inputs=64,
    max_reply_bytes=2 * MIB,
    joins=True,
)

TOKEN_CLASSIFICATION = TaskSpec(
    name="token-classification",
    title="Names in a text",
    summary="Finds what the model was trained to find in a text, such as people and places, and says where it stands.",
    kind=TextInput(TEXT_CHARS),
    output="Per input, the entities in order: label, score, the text, and its start and end in characters.",
    output_schema=_list_of(_list_of(_object(label=_STRING, **_SPAN))),
    parameters=(
        Parameter(
            "aggregation",
            "choice",
            "simple",
            "none gives each token by itself; simple joins neighbours of the same label.",
            choices=("simple", "none"),
        ),
        _TRUNCATE,
    ),
    example=Example(("The scales of Rotterdam were tested by Simon Stevin.",), {}),
    unexplained="it says of each label where it stands, and scores every token by itself",
    max_inputs=32,
    max_reply_bytes=4 * MIB,
)

FILL_MASK = TaskSpec(
    name="fill-mask",
    title="Missing words",
    summary="Proposes words for each [MASK] in a text.",
    kind=TextInput(TEXT_CHARS),
    output="Per input, a list for each mask in order: tokens with their scores, likeliest first.",
    output_schema=_list_of(_list_of(_list_of(_object(text=_STRING, token=_INTEGER, score=_NUMBER)))),
    parameters=(
        Parameter("top_k", "integer", 5, "How many tokens to propose for each mask.", minimum=1, maximum=50),
        _TRUNCATE,
    ),
    example=Example(("The weigh house stands in the [MASK] of the town.",), {}),
    unexplained="it proposes many tokens, each with causes of its own",
    max_inputs=16,
    max_reply_bytes=2 * MIB,
)

QUESTION_ANSWERING = TaskSpec(
    name="question-answering",
    title="Questions about a text",
    summary="Finds the answer to a question in the text that you give.",
    kind=PairInput((("question", 1_024), ("context", TEXT_CHARS))),
    output="Per input, the answer as it stands in the context, its score, and its start and end in characters.",
    output_schema=_list_of(_object(**_SPAN)),
    parameters=(
        Parameter(
            "handle_impossible",
            "boolean",
            False,
            "Allow an empty answer where the context holds none, for models that were trained for it.",
        ),
        Parameter("max_answer_tokens", "integer", 15, "Most tokens of an answer.", minimum=1, maximum=100),
        _TRUNCATE,
    ),
    example=Example(
        ({"question": "When were goods weighed?", "context": "Goods were weighed before they were traded."},), {}
    ),
    unexplained="it shows its answer within the text, and no label is given",
    max_inputs=16,
    max_reply_bytes=256 * 1024,
)

ZERO_SHOT_CLASSIFICATION = TaskSpec(
    name="zero-shot-classification",
    title="Classification by labels of your own",
    summary="Scores each text for labels that you name, with a model of textual entailment.",
    kind=TextInput(TEXT_CHARS),
    output="Per input, your labels with their scores, highest first; with explain, scores and explanation.",
    output_schema=_SCORES,
    parameters=(
        Parameter(
            "candidate_labels",
            "texts",
            [],
            "The labels to choose from.",
            max_items=20,
            max_chars=200,
            is_required=True,
        ),
        Parameter("multi_label", "boolean", False, "Score each label by itself, so that several may hold."),
        Parameter(
            "hypothesis_template",
            "template",
            "This example is {}.",
            "The sentence that a label is put into, with {} in its place.",
            max_chars=200,
        ),
        _TRUNCATE,
        *_EXPLAIN,
    ),
    example=Example(
        ("The delivery came a day late.",), {"candidate_labels": ["delivery", "price", "quality"], "multi_label": False}
    ),
    max_inputs=8,
    max_reply_bytes=256 * 1024,
)

TEXT2TEXT_GENERATION = TaskSpec(
    name="text2text-generation",
    title="Summaries and translations",
    summary="Rewrites each text as the model was trained to: shorter, in another language, or in another form.",
    kind=TextInput(32_768),
    output="Per input, the text that was written, and why it ended.",
    output_schema=_list_of(_GENERATION),
    parameters=_WRITING,
    example=Example(("Goods were weighed and certified at the weigh house before they were traded.",), {}),
    unexplained=_WRITES_A_TEXT,
    max_inputs=8,
    max_reply_bytes=MIB,
)

TEXT_GENERATION = TaskSpec(
    name="text-generation",
    title="Text generation",
    summary="Continues each text, or answers each chat where the model has a chat template.",
    kind=ChatInput(32_768),
    output="Per input, the continuation without the prompt, and why it ended.",
    output_schema=_list_of(_GENERATION),
    parameters=_WRITING,
    example=Example(("Once upon a time",), {"max_new_tokens": 32}),
    unexplained=_WRITES_A_TEXT,
    max_inputs=8,
    max_reply_bytes=MIB,
    streams=True,
)

IMAGE_CLASSIFICATION = TaskSpec(
    name="image-classification",
    title="What an image shows",
    summary="Gives each image a score for the labels that the model knows.",
    kind=FileInput(IMAGE_BYTES, ("image/png", "image/jpeg", "image/webp"), media.image_head, "images"),
    output="Per input, the likeliest labels with their scores, highest first.",
    output_schema=_list_of(_list_of(_LABEL_SCORE)),
    parameters=(Parameter("top_k", "integer", 5, "How many labels to give.", minimum=1, maximum=1000),),
    example=Example((examples.picture(),), {"top_k": 3}),
    unexplained="an image has no tokens to score",
    max_inputs=8,
    max_reply_bytes=2 * MIB,
)

AUTOMATIC_SPEECH_RECOGNITION = TaskSpec(
    name="automatic-speech-recognition",
    title="Speech to text",
    summary="Writes down what is said in a recording.",
    kind=FileInput(AUDIO_BYTES, ("audio/wav",), media.wave_head, "recordings"),
    output="Per input, the text that was heard.",
    output_schema=_list_of(_object(text=_STRING)),
    parameters=(),
    example=Example((examples.tone(),), {}),
    unexplained="a recording has no tokens to score",
    max_inputs=4,
    max_reply_bytes=256 * 1024,
)

TASKS: dict[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        FEATURE_EXTRACTION,
        TEXT_CLASSIFICATION,
        TOKEN_CLASSIFICATION,
        FILL_MASK,
        QUESTION_ANSWERING,
        ZERO_SHOT_CLASSIFICATION,
        TEXT2TEXT_GENERATION,
        TEXT_GENERATION,
        IMAGE_CLASSIFICATION,
        AUTOMATIC_SPEECH_RECOGNITION,
    )
}
