"""One pool for the tests that only use it; those that break things make their own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB, RunnerSpec, SandboxConfig
from tests.runtime.support import spec_of


@pytest.fixture(scope="session")
def config() -> SandboxConfig:
    return SandboxConfig(memory_bytes=1536 * MIB)


@pytest.fixture(scope="session")
def pool(config):
    pool = RunnerPool(config, memory_bytes=4096 * MIB)
    yield pool
    pool.close()


class Specs(dict[str, RunnerSpec]):
    """How to run the tiny model of each task."""

    def __init__(self, models: Mapping[str, Path]) -> None:
        self._models = models

    def __missing__(self, task: str) -> RunnerSpec:
        self[task] = spec_of(self._models[task], task)
        return self[task]


@pytest.fixture(scope="session")
def specs(tiny_models) -> Mapping[str, RunnerSpec]:
    return Specs(tiny_models)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the shared pool run in one process: each process would load every model again."""
    for item in items:
        if "pool" in getattr(item, "fixturenames", ()) and "tests/runtime/" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("runtime"))
