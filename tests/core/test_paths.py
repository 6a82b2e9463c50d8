"""A path that passes means one file everywhere."""

import pytest
from weighhouse.core.paths import PathError, path_check, path_collision


@pytest.mark.parametrize(
    "path", ["config.json", "1_Pooling/config.json", "model-00001-of-00002.safetensors", "a/b/c/d.png"]
)
def test_path_check_of_a_plain_path_returns_it(path):
    assert path_check(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "../config.json",
        "a/../../config.json",
        "a/./config.json",
        "a//config.json",
        "a/",
        "/etc/passwd",
        "C:\\config.json",
        "C:/config.json",
        "\\\\host\\share",
        "a\\b.json",
        ".git/config",
        "a/.hidden",
        "a\x00.json",
        "a\n.json",
        "a b.json",
        "a\u202etxt.nosj",
        "conf\u0131g.json",
        "caf\u00e9.json",
        "cafe\u0301.json",
        "a\u200b.json",
        "%2e%2e/config.json",
        "-rf.json",
        "~root",
        "con",
        "aux.json",
        "NUL.txt",
        "com1",
        "a./b",
        "trailing.",
        "a/b/c/d/e.json",
        "x" * 201,
        "a" * 4 + "\ud800",
    ],
)
def test_path_check_of_a_trick_is_refused_with_a_remedy(path):
    with pytest.raises(PathError) as caught:
        path_check(path)
    assert caught.value.data["remedy"]
    caught.value.message.encode("ascii")


@pytest.mark.parametrize(
    "paths", [["a.json", "A.json"], ["a", "a/b"], ["B/x", "b/y", "b"], ["x/y", "X/y/z"], ["README.md", "readme.md"]]
)
def test_path_collision_of_paths_that_a_file_system_confuses_names_two(paths):
    assert set(path_collision(paths) or ()) <= set(paths)
    assert path_collision(paths)


def test_path_collision_of_distinct_paths_is_none():
    assert path_collision(["a", "b/c", "b/d", "bc"]) is None
