"""Forms of the pages. They check form; services and contracts decide."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from marketplace.accounts.models import CallCapPeriod, KeyScope
from marketplace.api_parts import on_chain_id
from models_registry.runtime.tasks import TASKS, Parameter, TaskSpec

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


class ReleaseForm(forms.Form):
    """What the manifest will say about an upload; the registry checks it."""

    name = forms.CharField(max_length=80, help_text="As buyers will see it.")
    summary = forms.CharField(max_length=280, required=False, help_text="One sentence: what it is for.")
    task = forms.ChoiceField(help_text="What the model does with a text.")
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
    common: dict[str, Any] = {"help_text": parameter.description, "required": False}
    initial = parameter.default
    match parameter.kind:
        case "boolean":
            return forms.BooleanField(initial=initial, **common)
        case "choice":
            return forms.ChoiceField(choices=[(name, name) for name in parameter.choices], initial=initial, **common)
        case "texts":
            return forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), strip=False, initial="", **common)
        case "integer":
            return forms.IntegerField(initial=initial, **_bounds(parameter), **common)
        case _:
            widget = forms.NumberInput(attrs={"step": "any"})
            return forms.FloatField(initial=initial, widget=widget, **_bounds(parameter), **common)


def _bounds(parameter: Parameter) -> dict[str, Any]:
    return {"min_value": parameter.minimum, "max_value": parameter.maximum}


class RunForm(forms.Form):
    """Inputs and parameters of a job, made from the task's own table."""

    inputs = forms.CharField(widget=forms.Textarea(attrs={"rows": 4}), strip=False, label="Text")
    each_line = forms.BooleanField(required=False, label="Each line is a text of its own")

    def __init__(self, spec: TaskSpec, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spec = spec
        self.fields["inputs"].initial = "\n".join(spec.example.inputs)
        for parameter in spec.parameters:
            field = _parameter_field(parameter)
            field.initial = spec.example.parameters.get(parameter.name, field.initial)
            field.label = parameter.name.replace("_", " ").capitalize()
            self.fields[parameter.name] = field

    @property
    def parameter_fields(self) -> list[forms.BoundField]:
        return [self[parameter.name] for parameter in self.spec.parameters]

    def inputs_value(self) -> list[str]:
        """The texts as the API would get them. Browsers send line ends as CRLF."""
        text = self.cleaned_data["inputs"].replace("\r\n", "\n")
        if not self.cleaned_data["each_line"]:
            return [text]
        return [line for line in text.split("\n") if line.strip()]

    def parameters_value(self) -> dict[str, Any]:
        """The parameters that the form sets; an empty field leaves the default."""
        chosen: dict[str, Any] = {}
        for parameter in self.spec.parameters:
            value = self.cleaned_data[parameter.name]
            if parameter.kind == "texts":
                value = [line for line in value.replace("\r\n", "\n").split("\n") if line]
            if value is not None and value != "":
                chosen[parameter.name] = value
        return chosen
