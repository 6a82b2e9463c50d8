"""A manifest has one byte string, and a stranger's is believed in nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weighhouse.core import canonical
from weighhouse.core.manifest import Manifest, ManifestError, ManifestFile, licence_check, manifest_parse

MANIFEST = Manifest(
    publisher="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    name="Review sentiment",
    task="text-classification",
    licence="Apache-2.0",
    files=(ManifestFile("config.json", 2, "0" * 64), ManifestFile("model.safetensors", 9, "1" * 64)),
)
VALUE = MANIFEST.to_json()


def changed(**changes):
    return canonical.dumps({**VALUE, **changes})


def file(**changes):
    return {"path": "a.json", "size": 1, "sha256": "0" * 64, **changes}


def test_manifest_parse_of_its_bytes_gives_it_back():
    assert manifest_parse(MANIFEST.to_bytes()) == MANIFEST


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("version", {"version": 2}),
        ("version", {"version": True}),
        ("publisher", {"publisher": "0x70997970"}),
        ("publisher", {"publisher": None}),
        ("name", {"name": ""}),
        ("name", {"name": "a" * 81}),
        ("name", {"name": "evil\u202egnp.exe"}),
        ("name", {"name": "evil\u2066x\u2069"}),
        ("summary", {"summary": "Good\u202e and cheap"}),
        ("summary", {"summary": "Good\u2068 and cheap"}),
        ("name", {"name": "two\nlines"}),
        ("name", {"name": " padded"}),
        ("summary", {"summary": 3}),
        ("task", {"task": "Text Generation"}),
        ("licence", {"licence": "my own"}),
        ("licence", {"licence": "apache-9"}),
        ("files", {"files": []}),
        ("files", {"files": {}}),
        ("files", {"files": [file(), file()]}),
        ("files", {"files": [file(path="b.json"), file(path="a.json")]}),
        ("files", {"files": [file(path="A.json"), file(path="a.json")]}),
        ("files", {"files": [file(path="a.json"), file(path="a.json/b.json")]}),
        ("files[0].path", {"files": [file(path="../a.json")]}),
        ("files[0].path", {"files": [file(path="/etc/passwd")]}),
        ("files[0].path", {"files": [file(path="a\x00.json")]}),
        ("files[0].path", {"files": [file(path="manifest.json")]}),
        ("files[0].path", {"files": [file(path="Manifest.JSON")]}),
        ("files[0].path", {"files": [file(path=3)]}),
        ("files[0].size", {"files": [file(size=-1)]}),
        ("files[0].size", {"files": [file(size=1.5)]}),
        ("files[0].size", {"files": [file(size=True)]}),
        ("files[0].sha256", {"files": [file(sha256="A" * 64)]}),
        ("files[0].mode", {"files": [file(mode=511)]}),
        ("base_models[0]", {"base_models": ["0x12"]}),
        ("runtime.library", {"runtime": {"library": "pickle", "dtype": "float32"}}),
        ("runtime.dtype", {"runtime": {"library": "transformers", "dtype": ["float32"]}}),
        ("runtime.dtype", {"runtime": {"library": "transformers"}}),
        ("input_schema", {"input_schema": []}),
        ("encryption", {"encryption": {}}),
        ("extra", {"extra": 1}),
    ],
)
def test_manifest_parse_of_a_broken_field_names_it(field, changes):
    with pytest.raises(ManifestError) as caught:
        manifest_parse(changed(**changes))
    assert caught.value.field == field


def test_manifest_parse_without_a_field_names_it():
    value = {name: entry for name, entry in VALUE.items() if name != "licence"}
    with pytest.raises(ManifestError) as caught:
        manifest_parse(canonical.dumps(value))
    assert caught.value.field == "licence"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"{" + b'"a":' * 10,
        b'{"version":1,"version":1}',
        b"[" * 100_000,
        b'{"version":NaN}',
        b" " + MANIFEST.to_bytes(),
        MANIFEST.to_bytes() + b"\n",
        b"1" * 5000,
        b'"' + b"a" * (1 << 20) + b'"',
    ],
)
def test_manifest_parse_of_other_bytes_is_refused(data):
    with pytest.raises(ManifestError):
        manifest_parse(data)


@pytest.mark.parametrize("schema", [{"title": "a\0b"}, {"\0": 1}, {"title": "\\\0"}])
def test_manifest_parse_of_a_nul_character_is_refused(schema):
    with pytest.raises(ManifestError, match="NUL"):
        manifest_parse(changed(input_schema=schema))


def test_manifest_parse_of_a_pattern_that_speaks_of_nul_is_kept():
    schema = {"pattern": "[^\\u0000]"}
    assert manifest_parse(changed(input_schema=schema)).input_schema == schema


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_manifest_parse_of_noise_raises_nothing_but_its_own_error(data):
    with pytest.raises(ManifestError):
        manifest_parse(data)


@given(
    st.sampled_from(sorted(VALUE)),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(allow_nan=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_manifest_parse_of_any_json_in_a_field_raises_nothing_but_its_own_error(field, value):
    try:
        data = changed(**{field: value})
    except canonical.JsonError:
        return
    try:
        parsed = manifest_parse(data)
    except ManifestError:
        return
    assert parsed.to_bytes() == data


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("MIT", "MIT"),
        ("apache-2.0", "Apache-2.0"),
        ("LicenseRef-Acme", "LicenseRef-Acme"),
        ("MIT or 0BSD", "MIT OR 0BSD"),
    ],
)
def test_licence_check_of_an_spdx_expression_gives_its_canonical_spelling(written, kept):
    assert licence_check(written) == kept


@pytest.mark.parametrize("written", ["", "free", "MIT AND", "((((", "MIT; rm -rf", "(" * 150, 7, None])
def test_licence_check_of_anything_else_is_refused(written):
    with pytest.raises(ManifestError):
        licence_check(written)
