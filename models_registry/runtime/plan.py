"""What a machine offers to confine runners with."""

from dataclasses import dataclass

from models_registry.runtime import cgroups
from models_registry.runtime.specs import SandboxConfig


@dataclass(frozen=True)
class Plan:
    """What this machine offers and how it is used. Made by `sandbox.detect`, tried by `sandbox.require`."""

    config: SandboxConfig
    way: str
    bwrap: str
    prlimit: str
    setpriv: str
    groups: cgroups.Cgroups | None
    landlock_abi: int

    @property
    def isolation(self) -> str:
        """The layers in force, for fingerprints: `bwrap-setpriv+cgroup1+cpu+seccomp+landlock7`."""
        memory = f"cgroup{self.groups.version}" if self.groups else "rlimit-watchdog"
        if self.groups is not None and self.groups.cpu is not None:
            memory += "+cpu"
        lock = f"+landlock{self.landlock_abi}" if self.landlock_abi else ""
        return f"bwrap-{self.way}+{memory}+seccomp{lock}"

    @property
    def is_degraded(self) -> bool:
        """Whether a layer is missing that only the demo may do without."""
        return self.groups is None or self.landlock_abi == 0
