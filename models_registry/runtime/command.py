"""The command line of one sandbox: what bwrap is told, and what it starts.

docs/sandbox.md says what each option closes; tests/hostile attacks both ways.
"""

import sysconfig
from dataclasses import dataclass
from pathlib import Path

from models_registry.runtime import cgroups, identities
from models_registry.runtime.inside.lockdown import MODEL_PATH
from models_registry.runtime.plan import Plan
from models_registry.runtime.specs import SandboxConfig

Command = list[str]

_CODE_PATH = "/app/models_registry/runtime"
_BOOT = (
    "import sys; sys.path[:0] = ['/app', *sys.argv[3:]]; from models_registry.runtime.inside.boot import main; main()"
)
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'
_OPEN_FILES = 512
_HEADROOM_BYTES = 1024**3  # address space of libraries that is mapped and never touched

_VARIABLES = {
    "PATH": "/nowhere",
    "HOME": "/tmp",  # noqa: S108 - inside the sandbox
    "TMPDIR": "/tmp",  # noqa: S108
    "USER": "runner",
    "LOGNAME": "runner",
    "LC_ALL": "C.UTF-8",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    # A pool of threads that an import starts would escape Landlock, which binds one thread.
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    # Read by CUDA alone: without a fixed workspace cuBLAS may sum in another order each time, and its cache of compiled
    # kernels would fill the small tmpfs.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "CUDA_CACHE_DISABLE": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # on shared cores, threads that spin while they wait slow each other down
}
# Every variable of a runner; bwrap adds PWD.
VARIABLES = frozenset({*_VARIABLES, "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PWD"})


@dataclass(frozen=True)
class Parts:
    """What differs from one start to the next. Without a `model`, its place is empty: one may be given later."""

    entry: str
    model: Path | None
    identity: identities.Identity | None
    group: cgroups.Group | None


def build(plan: Plan, parts: Parts, *, channel: int, filter_fd: int) -> Command:
    """`channel` and `filter_fd` are descriptors that the process inherits."""
    return [
        *_join(parts.group),
        plan.bwrap,
        *_namespaces(plan),
        *["--seccomp", str(filter_fd)],
        *_environment(plan.config),
        *_mounts(plan, parts.model),
        "--",
        *_drop_to_user(plan, parts.identity),
        *_limits(plan, parts.group),
        *_payload(plan.config, parts.entry, channel),
    ]


def _join(group: cgroups.Group | None) -> Command:
    """A shell line that enters the group and becomes bwrap, so that nothing runs outside of it."""
    return ["/bin/sh", "-c", _JOIN, "sh", *map(str, group.join_files), "--"] if group else []


def _namespaces(plan: Plan) -> Command:
    common = ["--die-with-parent", "--new-session", "--hostname", "runner", "--cap-drop", "ALL"]
    if plan.way == "userns":
        return ["--unshare-all", "--unshare-user", "--disable-userns", *common]
    kinds = [f"--unshare-{kind}" for kind in ("pid", "net", "ipc", "uts", "cgroup")]
    # What setpriv needs to become the runner's user; it drops these too.
    kept = [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
    return [*kinds, *common, *kept]


def _environment(config: SandboxConfig) -> Command:
    variables = {**_VARIABLES, "OMP_NUM_THREADS": str(config.threads), "MKL_NUM_THREADS": str(config.threads)}
    return [word for name, value in variables.items() for word in ("--setenv", name, value)]


def _mounts(plan: Plan, model: Path | None) -> Command:
    config = plan.config
    words: Command = []
    made: set[Path] = {Path("/")}
    binds = bound_paths(plan)
    if model is not None:
        binds.append((model.resolve(), Path(MODEL_PATH)))
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(config.shared_memory_bytes), "--tmpfs", "/dev/shm"]  # noqa: S108
    words += ["--perms", "1777", "--size", str(config.scratch_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    made.add(Path("/tmp"))  # noqa: S108
    for source, target in binds:
        words += _parents(target, made)
        words += ["--ro-bind", str(source), str(target)]
    if model is None:
        words += _parents(Path(MODEL_PATH) / "file", made)
    for device in config.devices:
        words += ["--dev-bind", str(device), str(device)]
    for link in ("/lib", "/lib64"):
        if Path(link).is_symlink():
            words += ["--symlink", str(Path(link).readlink()), link]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108


def bound_paths(plan: Plan) -> list[tuple[Path, Path]]:
    """What of this machine is visible, each at its own path: programs, libraries, facts of the processor."""
    config = plan.config
    tools = [Path(plan.prlimit)] + ([Path(plan.setpriv)] if plan.setpriv else [])
    shared = config.interpreter.parent.parent / "lib"
    own = [
        *_system_libraries(),
        Path("/sys/devices/system/cpu"),
        Path("/etc/ld.so.cache"),
        *tools,
        config.interpreter,
        config.standard_library,
        *sorted(shared.glob("libpython*.so*")),
        *config.libraries,
    ]
    paths = [path for path in dict.fromkeys(own) if path.exists()]
    kept = [path for path in paths if not any(other != path and other in path.parents for other in paths)]
    return [*((path, path) for path in kept), (Path(__file__).resolve().parent, Path(_CODE_PATH))]


def _system_libraries() -> list[Path]:
    """The C library's directories, no more of /usr than that."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    narrow = Path("/usr/lib") / multiarch
    found = [narrow] if multiarch and (narrow / "libc.so.6").exists() else [Path("/usr/lib")]
    found += [Path("/usr/lib64")]
    found += [path for path in (Path("/lib"), Path("/lib64")) if not path.is_symlink()]
    return found


def _parents(target: Path, made: set[Path]) -> Command:
    """Directories that every user may pass; bwrap would make them for root alone."""
    words: Command = []
    for parent in reversed(target.parents):
        if parent not in made:
            made.add(parent)
            words += ["--perms", "0755", "--dir", str(parent)]
    return words


def _drop_to_user(plan: Plan, identity: identities.Identity | None) -> Command:
    if identity is None:
        return []
    uid = str(identity.uid)
    nothing = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
    return [plan.setpriv, "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs", *nothing]


def _limits(plan: Plan, group: cgroups.Group | None) -> Command:
    config = plan.config
    limits = {
        "core": 1,  # 0 would still feed a core_pattern that is a pipe; 1 is the kernel's word for none (fs/coredump.c)
        "nofile": _OPEN_FILES,
        "fsize": config.scratch_bytes,
        "nproc": config.processes,
        "cpu": config.cpu_seconds,
        "memlock": 0,
        "msgqueue": 0,
    }
    if group is None:
        limits["as"] = config.memory_bytes + _HEADROOM_BYTES
    return [plan.prlimit, *(f"--{name}={value}:{value}" for name, value in limits.items())]


def _payload(config: SandboxConfig, entry: str, descriptor: int) -> Command:
    # -I and -S: no user site, no .pth file, no PYTHON* variable decides what is imported.
    flags = ["-I", "-S", "-B"]
    return [str(config.interpreter), *flags, "-c", _BOOT, entry, str(descriptor), *map(str, config.libraries)]
