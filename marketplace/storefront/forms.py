"""Forms of the pages. They check form; services and contracts decide."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from marketplace.accounts.models import CallCapPeriod, KeyScope
from marketplace.api_parts import on_chain_id
from marketplace.inference.models import Isolation, JobState
from marketplace.inference.selectors import JobFilter
from marketplace.webhooks.models import EventKind
from models_registry.runtime.tasks import TASKS, FileInput, PairInput, Parameter, TaskSpec

LIBRARIES = [("transformers", "transformers")]
DTYPES = [("float32", "float32"), ("float16", "float16"), ("bfloat16", "bfloat16")]


def task_choices() -> list[tuple[str, str]]:
    return [(spec.name, f"{spec.title} ({spec.name})") for spec in TASKS.values()]


class ApiKeyForm(forms.Form):
    """A key's name, what it may do, and for how long."""

    name = forms.CharField(max_length=80, help_text="To tell your keys apart, such as the name of the script.")
    scopes = forms.MultipleChoiceField(choices=KeyScope.choices, widget=forms.CheckboxSelectMultiple, label="May")
    days = forms.IntegerField(
        min_value=1, max_value=3650, required=False, label="Expires after days", help_text="Empty: until revoked."
    )
    licence = forms.ChoiceField(
        required=False,
        label="Bound to one licence",
        help_text="The key then runs under this licence alone and sees its own jobs alone. Fit to hand out.",
    )
    calls_cap = forms.IntegerField(
        min_value=1, max_value=2**53, required=False, label="May use calls", help_text="Empty: no cap of its own."
    )
    calls_cap_per = forms.ChoiceField(choices=CallCapPeriod.choices, required=False, label="Counted")

    def __init__(self, licences: Iterable[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["licence"].choices = [("", "Any that the account holds"), *licences]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("licence") and given.get("scopes") != [KeyScope.RUN]:
            self.add_error("scopes", "A key that is bound to a licence may run models and nothing else.")
        return given

    def terms(self) -> dict[str, Any]:
        """What `api_key_create` takes beside the account."""
        given = self.cleaned_data
        return {
            "name": given["name"],
            "scopes": given["scopes"],
            "expires_at": timezone.now() + timedelta(days=given["days"]) if given["days"] else None,
            "licence_id": int(given["licence"]) if given["licence"] else None,
            "calls_cap": given["calls_cap"],
            "calls_cap_per": given["calls_cap_per"] or CallCapPeriod.TOTAL,
        }


class ModelSearchForm(forms.Form):
    q = forms.CharField(max_length=200, required=False, label="Search")
    task = forms.ChoiceField(required=False, label="Task")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].choices = [("", "All tasks"), *task_choices()]  # type: ignore[attr-defined]


class JobFilterForm(forms.Form):
    """Which jobs the console shows. What is malformed is left out, with its reason beside the field."""

    state = forms.ChoiceField(required=False, choices=[("", "All states"), *JobState.choices])
    task = forms.ChoiceField(required=False)
    model = forms.RegexField(r"^[0-9]{1,78}$", required=False, label="Model number")
    licence = forms.RegexField(r"^[0-9]{1,78}$", required=False, label="Licence number")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))
    batch = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].choices = [("", "All tasks"), *task_choices()]  # type: ignore[attr-defined]

    def chosen(self) -> JobFilter:
        """The filter, days being whole ones in UTC."""
        self.is_valid()
        given = self.cleaned_data
        since, until = given.get("since"), given.get("until")
        return JobFilter(
            state=given.get("state") or None,
            task=given.get("task") or None,
            model_id=on_chain_id(given.get("model") or ""),
            licence_id=on_chain_id(given.get("licence") or ""),
            batch_id=given.get("batch"),
            created_after=datetime.combine(since, time.min, UTC) if since else None,
            created_before=datetime.combine(until, time.max, UTC) if until else None,
        )


class WebhookForm(forms.Form):
    """Where to send, and what."""

    url = forms.CharField(max_length=2000, label="URL", help_text="https, to a host that anybody can reach.")
    events = forms.MultipleChoiceField(
        choices=EventKind.choices, required=False, widget=forms.CheckboxSelectMultiple, label="When (none: always)"
    )


class ReleaseForm(forms.Form):
    """What the manifest will say about an upload; the registry checks it."""

    name = forms.CharField(max_length=80, help_text="As buyers will see it.")
    summary = forms.CharField(max_length=280, required=False, help_text="One sentence: what it is for.")
    task = forms.ChoiceField(help_text="What the model does.")
    licence = forms.CharField(
        max_length=200, label="Licence of the weights", help_text="SPDX expression, such as Apache-2.0 or MIT."
    )
    library = forms.ChoiceField(choices=LIBRARIES)
    dtype = forms.ChoiceField(choices=DTYPES, label="Data type of the weights")
    model_id = forms.RegexField(r"^[0-9]{1,78}$", required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].choices = task_choices()  # type: ignore[attr-defined]

    def clean_model_id(self) -> str:
        given = str(self.cleaned_data["model_id"])
        if given and on_chain_id(given) is None:
            raise forms.ValidationError("There is no model with such a number.")
        return given

    def metadata(self) -> dict[str, Any]:
        """What the registry wants to know of an upload; without a model it is a new one."""
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        if "model_id" in given:
            given["model_id"] = int(given["model_id"])
        return given


def _parameter_field(parameter: Parameter) -> forms.Field:
    """The form field of one parameter of a task. Values stay within the task's own schema."""
    common: dict[str, Any] = {"help_text": parameter.description, "required": parameter.is_required}
    initial = parameter.default
    match parameter.kind:
        case "boolean":
            return forms.BooleanField(initial=initial, **common)
        case "choice":
            return forms.ChoiceField(choices=[(name, name) for name in parameter.choices], initial=initial, **common)
        case "texts":
            common["help_text"] = f"{parameter.description} One a line."
            return forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), strip=False, initial="", **common)
        case "template":
            return forms.CharField(max_length=parameter.max_chars, strip=False, initial=initial, **common)
        case "integer":
            return forms.IntegerField(initial=initial, **_bounds(parameter), **common)
        case _:
            widget = forms.NumberInput(attrs={"step": "any"})
            return forms.FloatField(initial=initial, widget=widget, **_bounds(parameter), **common)


def _bounds(parameter: Parameter) -> dict[str, Any]:
    return {"min_value": parameter.minimum, "max_value": parameter.maximum}


def _text_field(label: str, rows: int = 4) -> forms.Field:
    return forms.CharField(widget=forms.Textarea(attrs={"rows": rows}), strip=False, label=label)


def _file_field(kind: FileInput) -> forms.Field:
    """One file. What is larger than a request may be never arrives, so that its absence says the size too."""
    limit = f"{kind.max_bytes / 1_000_000:.1f} MB"
    required = f"Choose a file of at most {limit}."
    widget = forms.FileInput(attrs={"accept": ",".join(kind.accepts)})
    names = ", ".join(name.rpartition("/")[2].upper() for name in kind.accepts)
    help_text = f"{names}, at most {limit}."
    return forms.FileField(label="File", widget=widget, help_text=help_text, error_messages={"required": required})


class RunForm(forms.Form):
    """Inputs and parameters of a job, made from the task's own table: a text, a pair of texts, or a file."""

    dedicated = forms.BooleanField(
        required=False,
        label="In a runner of its own",
        help_text="Its process serves no other licence. It costs no more calls, but may have to be started first.",
    )

    def __init__(self, spec: TaskSpec, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spec = spec
        for name, made in self._input_fields().items():
            self.fields[name] = made
        for parameter in spec.parameters:
            field = _parameter_field(parameter)
            example = spec.example.parameters.get(parameter.name, field.initial)
            field.initial = "\n".join(example) if parameter.kind == "texts" else example
            field.label = parameter.name.replace("_", " ").capitalize()
            self.fields[parameter.name] = field

    def _input_fields(self) -> dict[str, forms.Field]:
        kind, (example, *_) = self.spec.kind, self.spec.example.inputs
        if isinstance(kind, FileInput):
            return {"file": _file_field(kind)}
        if isinstance(kind, PairInput):
            fields = {f"input_{name}": _text_field(name.capitalize()) for name, _ in kind.fields}
            for name, _ in kind.fields:
                fields[f"input_{name}"].initial = example[name]
            return fields
        text = _text_field("Text")
        text.initial = "\n".join(self.spec.example.inputs)
        return {"inputs": text, "each_line": forms.BooleanField(required=False, label="Each line is a text of its own")}

    @property
    def input_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self._input_fields()]

    @property
    def parameter_fields(self) -> list[forms.BoundField]:
        """Those that may be left as they are."""
        return [self[parameter.name] for parameter in self.spec.parameters if not parameter.is_required]

    @property
    def required_fields(self) -> list[forms.BoundField]:
        return [self[parameter.name] for parameter in self.spec.parameters if parameter.is_required]

    def isolation_value(self) -> str:
        return Isolation.DEDICATED if self.cleaned_data["dedicated"] else Isolation.SHARED

    def inputs_value(self) -> list[Any]:
        """The inputs as the API would get them. Browsers send line ends as CRLF."""
        kind = self.spec.kind
        if isinstance(kind, FileInput):
            return [{"data": base64.b64encode(self.cleaned_data["file"].read()).decode()}]
        if isinstance(kind, PairInput):
            return [{name: _unix(self.cleaned_data[f"input_{name}"]) for name, _ in kind.fields}]
        text = _unix(self.cleaned_data["inputs"])
        if not self.cleaned_data["each_line"]:
            return [text]
        return [line for line in text.split("\n") if line.strip()]

    def parameters_value(self) -> dict[str, Any]:
        """The parameters that the form sets; an empty field leaves the default."""
        chosen: dict[str, Any] = {}
        for parameter in self.spec.parameters:
            value = self.cleaned_data[parameter.name]
            if parameter.kind == "texts":
                value = [line for line in _unix(value).split("\n") if line]
            if value is not None and value != "":
                chosen[parameter.name] = value
        return chosen


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")
