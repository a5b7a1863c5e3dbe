"""What `invoke doctor` looks at where a GPU runs engines: a Jetson, or a PC with one."""

import platform
from collections.abc import Iterator
from pathlib import Path

from mmdet_jetson.cli.findings import Finding
from mmdet_jetson.contract.nvidia import gpu_files, how_to_open, jetpack_of
from mmdet_jetson.contract.power import power_modes
from mmdet_jetson.environments.this_machine import SYSTEM, Machine
from mmdet_jetson.processes import ProcessFailed, output_of

# Since 28.0 Docker has rules in the table `raw`, for which JetPack 6's kernel has no module, and no
# container gets a network (moby#49557); the variable is known from 28.0.2 on (moby#49621).
FIRST_WITH_RAW = 28
WITHOUT_RAW = (
    "install Docker 27; or add Environment=DOCKER_INSECURE_NO_IPTABLES_RAW=1 under [Service] by "
    "`sudo systemctl edit docker` and restart it: neighbours then reach every published port"
)
RUNTIME = (
    "sudo apt-get install nvidia-container-toolkit && "
    "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
)
# Prints the version of what can be imported, else the whole chain of causes.
IMPORT = """
import importlib, sys
try:
    module = importlib.import_module(sys.argv[1])
    if sys.argv[1] == "pycuda.driver":
        module.init()
        device = module.Device(0)
        print("CUDA %d.%d.%d," % module.get_version(), "driver %d," % module.get_driver_version(),
              "%s, compute capability %d.%d" % (device.name(), *device.compute_capability()))
    else:
        print(getattr(module, "__version__", "loads"))
except BaseException as error:
    causes = []
    while error is not None:
        causes.append("%s: %s" % (type(error).__name__, error))
        error = error.__cause__ or error.__context__
    sys.exit("; because of ".join(causes))
"""


def examine_device(machine: Machine, system: Path = SYSTEM) -> Iterator[Finding]:
    """Look at what engines need of this machine; no finding where there is no GPU."""
    if machine.l4t:
        yield _jetpack(machine)
        yield Finding("power mode", True, _power_mode(system))
    files = list(gpu_files(system))
    if machine.l4t or files:
        yield _device_files([str(file) for file in files], machine.closed)
        yield from _docker(system)


def _power_mode(system: Path) -> str:
    """Name the mode, and what makes the device as fast as it can be: not mode 0 on every board."""
    modes = power_modes(system)
    if modes is None:
        return "it does not say"
    strongest = modes.strongest
    faster = f"sudo nvpmodel -m {strongest.number}, " if strongest else ""
    return f"{modes.now}; before timing: {faster}sudo jetson_clocks"


def _jetpack(machine: Machine) -> Finding:
    release = f"L4T {machine.l4t} (JetPack {jetpack_of(machine.l4t) or 'unknown'})"
    found = machine.jetpack
    if found is None:
        return Finding(
            "JetPack", False, f"{release}, without TensorRT's Python module",
            "sudo apt-get install nvidia-jetpack (or python3-libnvinfer alone)",
        )  # fmt: skip
    loaded, said = load(found.python, "tensorrt")
    return Finding(
        "JetPack",
        loaded,
        f"{release} on {machine.board or 'an unnamed board'}: TensorRT {found.tensorrt}, CUDA "
        f"{found.cuda or 'unknown'}, Python {found.python_version}, compute capability "
        f"{found.sm or 'unknown'}" + ("" if loaded else f"; TensorRT does not load: {said}"),
        "sudo apt-get install --reinstall python3-libnvinfer",
    )


def _device_files(files: list[str], closed: tuple[str, ...]) -> Finding:
    what = "GPU's device files"
    if not files:
        hint = "sudo apt-get install --reinstall nvidia-l4t-core nvidia-l4t-cuda, and reboot"
        return Finding(what, False, "none is there", hint)
    if closed:
        shown = f"this user may not open {', '.join(closed)}: CUDA fails without a reason"
        return Finding(what, False, shown, how_to_open(closed))
    return Finding(what, True, f"{len(files)}, and what CUDA needs of them is open to this user")


def _docker(system: Path) -> Iterator[Finding]:
    """Look at what containers need to use the GPU; nothing where there is no Docker."""
    try:
        version = output_of(["docker", "version", "--format", "{{.Server.Version}}"])
        runtimes = output_of(["docker", "info", "--format", "{{json .Runtimes}}"])
    except ProcessFailed:
        return
    has = '"nvidia"' in runtimes
    said = "Docker knows it" if has else "Docker knows none: no container is given a GPU"
    yield Finding("NVIDIA's container runtime", has, said, RUNTIME, needed=False)
    first = version.partition(".")[0]
    if first.isdigit() and int(first) >= FIRST_WITH_RAW:
        has = has_module("iptable_raw", system)
        said = f"Docker {version} needs the kernel's iptable_raw, which is " + (
            "there" if has else "not there: the first apt-get of a build fails"
        )
        yield Finding("network of containers", has, said, WITHOUT_RAW, needed=False)


def has_module(name: str, system: Path = SYSTEM) -> bool:
    """Whether the kernel that runs has a module, as a file or built in."""
    modules = system / "lib/modules" / platform.release()
    lists = (modules / "modules.dep", modules / "modules.builtin")
    texts = [file.read_text(errors="replace") for file in lists if file.is_file()]
    return any(f"/{name}.ko" in text for text in texts)


def load(python: Path, module: str) -> tuple[bool, str]:
    """Import a module in a Python; give whether that goes well, and its version or the causes."""
    try:
        return True, output_of([str(python), "-c", IMPORT, module])
    except ProcessFailed as failed:
        return False, failed.message.partition(": ")[2] or failed.message
