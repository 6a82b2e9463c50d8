"""The committed samples are what their cards say, and the held-out sets are held out."""

import hashlib
import re

import pytest
import yaml
from weighhouse.core.manifest import licence_check

from samples import train
from samples.catalogue import CATALOGUE, SAMPLES, Sample, SampleFilesError, sample_get
from samples.corpora import handwritten, market_days, reviews
from samples.models.figures import Figure, card_figures

MIB = 1 << 20
each_sample = pytest.mark.parametrize("sample", CATALOGUE, ids=lambda sample: sample.directory)


@each_sample
def test_sample_measured_again_agrees_with_its_card_and_beats_its_baselines(sample: Sample):
    assert train.sample_check(sample) == []
    assert any(figure.claim for figure in card_figures(sample.path))


def test_sample_check_card_that_boasts_is_named(sample_boasting: Sample):
    (problem,) = train.sample_check(sample_boasting)
    assert "the card says 0.9900" in problem


@pytest.fixture
def sample_boasting(monkeypatch: pytest.MonkeyPatch) -> Sample:
    sample = sample_get("minilm")
    first, second = card_figures(sample.path)
    boast = Figure(**{name: getattr(second, name) for name in Figure.__slots__} | {"value": 0.99})
    monkeypatch.setattr(train, "card_figures", lambda _path: [first, boast])
    return sample


@each_sample
def test_sample_card_front_matter_matches_the_catalogue(sample: Sample):
    front = yaml.safe_load((sample.path / "README.md").read_text().split("---\n", 2)[1])
    assert {name: front[name] for name in sample.head} == sample.head
    assert licence_check(sample.licence) == sample.licence


@each_sample
def test_sample_card_states_both_figures_of_each_comparison_in_its_text(sample: Sample):
    body = (sample.path / "README.md").read_text().split("---\n", 2)[2]
    for figure in card_figures(sample.path):
        assert f"**{figure.value:.4g}**" in body
        assert f"{figure.baseline_value:.4g}" in body


@pytest.mark.parametrize("name", sorted(train.TRAIN))
def test_sample_weights_in_the_repository_are_at_most_one_mebibyte(name: str):
    assert (SAMPLES / name / "model.safetensors").stat().st_size <= MIB


def test_minilm_weights_are_those_that_the_checksums_name():
    paths = sample_get("minilm").file_paths()
    lines = (SAMPLES / "minilm" / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        digest, name = line.split()
        assert hashlib.sha256(paths[name].read_bytes()).hexdigest() == digest
    assert len(lines) == len(paths) - 1  # the card is ours


def test_minilm_package_with_other_weights_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "other_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, path in sample_get("minilm").packaged_paths().items():
        if name != "model.safetensors":
            (package / "model" / name).write_bytes(path.read_bytes())
    (package / "model" / "model.safetensors").write_bytes(b"\0" * 64)
    monkeypatch.syspath_prepend(tmp_path)
    fields = {name: getattr(sample_get("minilm"), name) for name in Sample.__slots__}
    with pytest.raises(SampleFilesError, match=r"model\.safetensors .* is not the file"):
        Sample(**fields | {"package": "other_minilm"}).file_paths()


def test_held_out_reviews_share_no_sentence_and_no_noun_adjective_pair_with_training():
    trained = reviews.review_list(6000, seed=11, held_out=False)
    held_out = reviews.review_list(2000, seed=22, held_out=True)
    assert not {review.text for review in trained} & {review.text for review in held_out}
    assert not _pairs(trained) & _pairs(held_out)
    assert len(_pairs(held_out)) > 200


def _pairs(found: list[reviews.Review]) -> set[tuple[str, str]]:
    """Nouns with the adjective that directly precedes or follows them: `a dull film`, `the film was dull`."""
    nouns, adjectives = set(reviews.NOUNS), {a for words in reviews.ADJECTIVES.values() for a in words}
    pairs = set()
    for review in found:
        words = re.findall(r"[a-z-]+", review.text.lower())
        for at, word in enumerate(words):
            if word not in nouns:
                continue
            if at and words[at - 1] in adjectives:
                pairs.add((word, words[at - 1]))
            rest = words[at + 1 : at + 3]
            if len(rest) == 2 and rest[0] in ("is", "was") and rest[1] in adjectives:
                pairs.add((word, rest[1]))
    return pairs


def test_held_out_words_are_all_known_from_training():
    def words(held_out: bool, seed: int, count: int) -> set[str]:
        found = reviews.review_list(count, seed=seed, held_out=held_out)
        return {word for review in found for word in re.findall(r"[a-z']+", review.text.lower())}

    assert words(True, 22, 2000) <= words(False, 11, 24_000)


def test_hand_written_sentences_are_no_generated_ones():
    generated = {review.text for review in reviews.review_list(6000, seed=11, held_out=False)}
    assert not generated & {*handwritten.POSITIVE, *handwritten.NEGATIVE, *handwritten.NEUTRAL}


def test_held_out_stories_share_no_pair_of_person_and_goods_with_training():
    def pairs(held_out: bool, seed: int) -> set[tuple[str, str]]:
        return {
            (name, goods)
            for story in market_days.story_list(1000, seed=seed, held_out=held_out)
            for name in market_days.PEOPLE
            if name in story.split(". ")[0] or name in story.split(". ")[1]
            for goods in market_days.GOODS
            if f" {goods}" in story
        }

    trained, held_out = pairs(False, 44), pairs(True, 55)
    assert not trained & held_out
    assert len(held_out) > 50
