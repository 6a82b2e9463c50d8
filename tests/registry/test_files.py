"""Each file is refused for what it is, whatever it is called, and the refusal says what to do."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib

import pytest

from models_registry import services
from models_registry.errors import FileRefusedError, UploadLimitError, UploadNotFoundError, UploadTruncatedError
from models_registry.intake.content import file_refusals
from models_registry.intake.layout import path_refusal
from models_registry.models import UploadedFile
from tests.fixtures.people import PUBLISHER
from tests.registry.conftest import METADATA, put, safetensors_bytes


class Malice:
    def __reduce__(self):
        return (print, ("ran",))


def zipped(name="archive/data.pkl", data=b"x" * 100) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 50_000_000)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/passwd"))
    return out.getvalue()


def png(*, tail: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
        + tail
    )


WEIGHTS = safetensors_bytes({"w": ("F32", [2], b"\0" * 8)})
GOOD = {
    "model.safetensors": WEIGHTS,
    "model-00001-of-00002.safetensors": WEIGHTS,
    "config.json": b'{"model_type":"bert"}',
    "tokenizer.json": b"{}",
    "1_Pooling/config.json": b"{}",
    "modules.json": b"[]",
    "vocab.txt": "[PAD]\ncat\n.\nété\n".encode(),
    "merges.txt": b"#version: 0.2\na b\n",
    "README.md": b"# A card\n",
    "LICENSE": b"Apache",
    "plot.png": png(),
    "figures/plot.jpg": b"\xff\xd8\xff\xe0" + b"\0" * 8 + b"\xff\xd9",
    "figures/plot.webp": b"RIFF\x04\0\0\0WEBP",
}


@pytest.mark.parametrize("path", GOOD)
def test_file_of_an_allowed_kind_is_accepted(tmp_path, path):
    (tmp_path / "file").write_bytes(GOOD[path])
    assert file_refusals(path, tmp_path / "file") == []


REFUSED_NAMES = {
    "pytorch_model.bin": "file.pickle",
    "model.PT": "file.pickle",
    "weights.pkl": "file.pickle",
    "model.ckpt": "file.pickle",
    "arrays.npz": "file.pickle",
    "model.h5": "file.pickle",
    "model.tar.gz": "file.archive",
    "model.zip": "file.archive",
    "modeling_evil.py": "file.code",
    "run.sh": "file.code",
    "lib.so": "file.code",
    "model.gguf": "file.not_allowed",
    "model.onnx": "file.not_allowed",
    "sub/model.safetensors": "file.not_allowed",
    "adapter_config.json": "file.not_allowed",
    "evil.svg": "file.not_allowed",
    "index.html": "file.not_allowed",
    "manifest.json": "path.reserved",
    "MANIFEST.json": "path.reserved",
    "../config.json": "path.invalid",
    ".git/config": "path.invalid",
    "config.json\x00.png": "path.invalid",
}


@pytest.mark.parametrize(("path", "code"), REFUSED_NAMES.items())
def test_path_of_a_file_that_no_release_holds_is_refused_with_a_remedy(path, code):
    refused = path_refusal(path)
    assert refused is not None
    assert (refused["code"], bool(refused["found"]), bool(refused["remedy"])) == (code, True, True)


DISGUISES = {
    "pickle 2": pickle.dumps(Malice(), protocol=2),
    "pickle 4": pickle.dumps(Malice(), protocol=4),
    "pickle 5": pickle.dumps([1, 2], protocol=5),
    "pickle text": pickle.dumps(Malice(), protocol=0),
    "pickle text, then prose": pickle.dumps(Malice(), protocol=0) + b"\n# A card\n",
    "torch zip": zipped(),
    "zip bomb": zip_bomb(),
    "empty zip": b"PK\x05\x06" + b"\0" * 18,
    "prose, then zip": b"# A card\n" + zipped(),
    "gzip": gzip.compress(b"x"),
    "bzip2": b"BZh91AY&SY",
    "xz": b"\xfd7zXZ\x00\x00",
    "zstd": b"\x28\xb5\x2f\xfd\x00",
    "7z": b"7z\xbc\xaf\x27\x1c",
    "rar": b"Rar!\x1a\x07\x01\x00",
    "tar": tarred(),
    "elf": b"\x7fELF\x02\x01\x01",
    "windows program": b"MZ\x90\x00",
    "script": b"#!/bin/sh\nid\n",
    "gguf": b"GGUF\x03\0\0\0",
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "numpy": b"\x93NUMPY\x01\x00",
    "sqlite": b"SQLite format 3\x00",
    "wasm": b"\x00asm\x01\0\0\0",
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
}


@pytest.mark.parametrize("path", ["README.md", "vocab.txt", "config.json", "model.safetensors", "plot.png"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_dangerous_content_under_an_allowed_name_is_refused(tmp_path, path, disguise):
    (tmp_path / "file").write_bytes(DISGUISES[disguise])
    (refused,) = file_refusals(path, tmp_path / "file")
    assert refused["path"] == path
    assert refused["code"] in {"file.pickle", "file.archive", "file.not_allowed"}
    assert refused["found"]
    assert refused["remedy"]


SPOILED = {
    ("config.json", b"{"): "json.invalid",
    ("config.json", b"[]"): "json.invalid",
    ("config.json", b'{"a":1,"a":2}'): "json.invalid",
    ("config.json", b"\xff{}"): "json.invalid",
    ("config.json", b"[" * 100_000): "json.invalid",
    ("tokenizer.json", b"{" + b'"a":[' * 3000 + b"]" * 3000 + b"}"): "json.invalid",
    ("config.json", b'{"auto_map":{"AutoModel":"modeling.Evil"}}'): "config.custom_code",
    ("config.json", b'{"a":[{"b":{"auto_map":{"AutoModel":"x--y.Evil"}}}]}'): "config.custom_code",
    ("tokenizer_config.json", b'{"auto_map":{"AutoTokenizer":["a.B",null]}}'): "config.custom_code",
    ("config.json", b'{"trust_remote_code":true}'): "config.custom_code",
    ("config.json", b'{"custom_pipelines":{"x":{"impl":"a.B"}}}'): "config.custom_code",
    ("config.json", b'{"_attn_implementation":"someone/kernel"}'): "config.custom_code",
    ("vocab.txt", b"a\0b"): "text.invalid",
    ("README.md", b"\xff\xfe\x41"): "text.invalid",
    ("plot.png", b"<svg onload=alert(1)>"): "image.invalid",
    ("plot.png", GOOD["figures/plot.jpg"]): "image.invalid",
    ("plot.png", png(tail=b"<script>")): "image.invalid",
    ("plot.jpg", png()): "image.invalid",
    ("plot.webp", b"RIFF\x05\0\0\0WEBP"): "image.invalid",
    ("model.safetensors", b""): "safetensors.invalid",
    ("model.safetensors", WEIGHTS[:-1]): "safetensors.invalid",
    ("model.safetensors", WEIGHTS + b"\0"): "safetensors.invalid",
    ("model.safetensors", (2**62).to_bytes(8, "little") + b"{}"): "safetensors.invalid",
}


@pytest.mark.parametrize(("path", "data", "code"), [(*key, code) for key, code in SPOILED.items()])
def test_file_that_is_not_what_its_name_says_is_refused(tmp_path, path, data, code):
    (tmp_path / "file").write_bytes(data)
    (refused,) = file_refusals(path, tmp_path / "file")
    assert refused["code"] == code


def test_file_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "file").symlink_to("/etc/hostname")
    (refused,) = file_refusals("README.md", tmp_path / "file")
    assert refused["code"] == "file.link"


def test_text_that_begins_like_a_pickle_by_chance_is_accepted(tmp_path):
    (tmp_path / "file").write_bytes(b"cat\ndog\n.\nc\nR\n")
    assert file_refusals("vocab.txt", tmp_path / "file") == []


@pytest.fixture
def upload(db):
    return services.upload_create(publisher=PUBLISHER, metadata=METADATA)


def left_on_disk(settings, upload):
    directory = settings.UPLOAD_DIR / str(upload.pk)
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_put_of_a_refused_file_leaves_no_row_and_no_bytes(upload, settings):
    with pytest.raises(FileRefusedError) as caught:
        put(upload, "README.md", pickle.dumps(Malice()))
    (refused,) = caught.value.data["refusals"]
    assert (refused["path"], refused["code"]) == ("README.md", "file.pickle")
    assert upload.files.count() == 0
    assert left_on_disk(settings, upload) == []


@pytest.mark.parametrize("second", ["readme.md", "README.md/x.png"])
def test_put_of_a_path_that_collides_is_refused(upload, second):
    put(upload, "README.md", b"one")
    with pytest.raises(FileRefusedError):
        put(upload, second, png())


def test_put_of_the_same_path_in_another_case_is_refused_as_a_collision(upload):
    put(upload, "plot.png", png())
    with pytest.raises(FileRefusedError) as caught:
        put(upload, "Plot.png", png())
    assert caught.value.data["refusals"][0]["code"] == "path.collision"


def test_put_of_a_replacement_leaves_one_row_and_one_blob(upload, settings):
    put(upload, "README.md", b"one")
    put(upload, "README.md", b"two")
    assert [file.size for file in upload.files.all()] == [3]
    assert len(left_on_disk(settings, upload)) == 1


def test_delete_of_a_file_keeps_a_blob_that_another_path_shares(upload, settings):
    put(upload, "README.md", b"same")
    put(upload, "NOTICE.md", b"same")
    services.upload_file_delete(upload=upload, path="README.md")
    assert len(left_on_disk(settings, upload)) == 1
    services.upload_file_delete(upload=upload, path="NOTICE.md")
    assert left_on_disk(settings, upload) == []


@pytest.mark.parametrize(
    ("setting", "value"), [("UPLOAD_MAX_FILE_BYTES", 2), ("UPLOAD_MAX_TOTAL_BYTES", 5), ("UPLOAD_MAX_FILES", 1)]
)
def test_put_beyond_a_limit_is_refused_and_keeps_what_was_there(upload, settings, setting, value):
    put(upload, "NOTICE.md", b"no" if setting == "UPLOAD_MAX_FILE_BYTES" else b"not")
    setattr(settings, setting, value)
    with pytest.raises(UploadLimitError):
        put(upload, "README.md", b"yes")
    assert [file.path for file in upload.files.all()] == ["NOTICE.md"]


def test_put_of_a_large_readme_is_refused_before_its_body_is_read(upload):
    class Unread:
        def read(self, size=-1):
            raise AssertionError("the body was read")

    with pytest.raises(FileRefusedError):
        services.upload_file_put(upload=upload, path="README.md", stream=Unread(), size=2 << 20)


def test_upload_create_beyond_the_open_ones_is_refused(upload, settings):
    settings.UPLOAD_MAX_OPEN = 1
    with pytest.raises(UploadLimitError):
        services.upload_create(publisher=PUBLISHER, metadata=METADATA)


def test_json_of_too_many_values_is_refused_without_being_built(tmp_path):
    (tmp_path / "file").write_bytes(b'{"a":[' + b"0," * 5_000_000 + b"0]}")
    (refused,) = file_refusals("tokenizer.json", tmp_path / "file")
    assert "values" in refused["found"]


def test_config_of_a_nested_code_key_that_is_empty_is_accepted(tmp_path):
    (tmp_path / "file").write_text(json.dumps({"auto_map": None, "model_type": "bert"}))
    assert file_refusals("config.json", tmp_path / "file") == []


def test_put_of_a_stream_that_ends_early_keeps_nothing(upload, settings):
    with pytest.raises(UploadTruncatedError) as caught:
        services.upload_file_put(upload=upload, path="README.md", stream=io.BytesIO(b"half"), size=8)
    assert caught.value.retryable
    assert (upload.files.count(), left_on_disk(settings, upload)) == (0, [])


def test_put_of_a_stream_that_breaks_keeps_nothing(upload, settings):
    class Broken:
        def read(self, size=-1):
            raise ConnectionResetError

    with pytest.raises(UploadTruncatedError):
        services.upload_file_put(upload=upload, path="README.md", stream=Broken(), size=8)
    assert (upload.files.count(), left_on_disk(settings, upload)) == (0, [])


def test_put_into_an_upload_that_was_deleted_meanwhile_keeps_nothing(upload):
    class Deleting(io.BytesIO):
        def read(self, size=-1):
            services.upload_delete(upload=upload)
            return super().read(size)

    with pytest.raises(UploadNotFoundError):
        services.upload_file_put(upload=upload, path="README.md", stream=Deleting(b"text"), size=4)
    assert UploadedFile.objects.count() == 0


# Lengths whose first bytes are the mark of a pickle (protocols 0 to 5), and one whose are a script's.
@pytest.mark.parametrize("length", [0x0080, 0x0180, 0x0280, 0x0380, 0x0480, 0x0580, 0x2123])
def test_weights_whose_header_length_looks_like_another_format_are_accepted(tmp_path, length):
    head = safetensors_bytes({"w": ("F32", [2], b"")})[8:].replace(b"[0, 0]", b"[0, 8]")
    raw = head + b" " * (length - len(head))
    (tmp_path / "file").write_bytes(length.to_bytes(8, "little") + raw + b"\0" * 8)
    assert file_refusals("model.safetensors", tmp_path / "file") == []


def test_weights_with_a_zip_in_their_last_tensor_are_refused(tmp_path):
    tail = zipped()
    (tmp_path / "file").write_bytes(safetensors_bytes({"w": ("U8", [len(tail)], tail)}))
    (refused,) = file_refusals("model.safetensors", tmp_path / "file")
    assert refused["code"] == "file.archive"
