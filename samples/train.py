"""Make the samples, or check that the committed ones are what their cards say.

    python -m samples.train                    train, measure, write weights and cards
    python -m samples.train review-sentiment   only that one
    python -m samples.train --check            measure the committed weights; compare with the cards and the baselines

Offline, on the CPU, with fixed seeds. MiniLM is not trained here: its weights are measured and its card is written.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import torch
from transformers.utils import logging

from samples.catalogue import CATALOGUE, Sample, sample_get
from samples.models import generator, minilm, sentiment
from samples.models.figures import Figure, card_figures, card_write

THREADS = 2  # the number of threads decides the order of additions

EVALUATE: dict[str, Callable[[Path], list[Figure]]] = {
    "minilm": minilm.evaluate,
    "review-sentiment": sentiment.evaluate,
    "market-days": generator.evaluate,
}
TRAIN: dict[str, Callable[[Path], None]] = {"review-sentiment": sentiment.train, "market-days": generator.train}


def weights_directory(sample: Sample) -> Path:
    """Return the directory of the sample's weights, after a look at their hashes where a package brings them."""
    packaged = sample.packaged_paths()
    return packaged["model.safetensors"].parent if packaged else sample.path


def sample_make(sample: Sample, *, train: bool) -> None:
    """Train and measure a sample and write its card. Raises SystemExit where it does not beat its baselines."""
    if train and sample.directory in TRAIN:
        TRAIN[sample.directory](sample.path)
    figures = EVALUATE[sample.directory](weights_directory(sample))
    _show(figures)
    failed = [figure for figure in figures if figure.claim and not figure.beats_baseline]
    if failed:
        raise SystemExit(f"{sample.directory} does not beat its baseline: {failed[0]}")
    card_write(sample.path, sample.head, figures)


def sample_check(sample: Sample) -> list[str]:
    """Measure a committed sample. Returns what is wrong with its card, in sentences; nothing where all is well."""
    measured, stated = EVALUATE[sample.directory](weights_directory(sample)), card_figures(sample.path)
    _show(measured)
    if len(measured) != len(stated):
        return [f"{sample.directory}: the card states {len(stated)} figures, {len(measured)} were measured."]
    wrong = [
        f"{sample.directory}: measured {m.value:.4f} against {m.baseline_value:.4f} for {m.measure} on {m.measured_on},"
        f" the card says {s.value:.4f} against {s.baseline_value:.4f}."
        for m, s in zip(measured, stated, strict=True)
        if not m.matches(s)
    ]
    beaten = [
        f"{sample.directory}: {m.baseline} is not beaten on {m.measured_on}."
        for m in measured
        if not m.beats_baseline and m.claim
    ]
    return wrong + beaten


def _show(figures: Sequence[Figure]) -> None:
    for figure in figures:
        reached = f"{figure.measure} {figure.value:.4g}"
        print(f"  {figure.measured_on}: {reached}; {figure.baseline} {figure.baseline_value:.4g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Make the samples, or check the committed ones.")
    parser.add_argument("names", nargs="*", metavar="name", help="which samples; all of them by default")
    parser.add_argument("--check", action="store_true", help="measure the committed weights, change nothing")
    parser.add_argument("--cards", action="store_true", help="measure the committed weights, write the cards again")
    options = parser.parse_args(arguments)
    known = [sample.directory for sample in CATALOGUE]
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"there is no sample {unknown[0]}; there are {', '.join(known)}")
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(mode=True)
    logging.disable_progress_bar()
    problems: list[str] = []
    for name in options.names or known:
        print(name)
        if options.check:
            problems += sample_check(sample_get(name))
        else:
            sample_make(sample_get(name), train=not options.cards)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
