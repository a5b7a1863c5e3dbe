"""Which programs the project's scripts, tests and source call, and which Debian packages hold them."""

import ast
import functools
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).resolve().parents[2]

# Of a new Debian with Python and nothing else; tests/integration/test_new_machine.py looks there.
MINIMAL: dict[str, str] = {
    "apt": "apt-config apt-get",
    "bash": "bash",
    "coreutils": "basename cat chmod chown chroot cp df dirname env head id mkdir mktemp nproc rm rmdir "
    "seq sleep tail touch true uname",
    "dash": "sh",
    "dpkg": "dpkg-query",
    "grep": "grep",
    "libc-bin": "ldconfig",
    "mawk": "awk",
    "mount": "mount umount",
    "passwd": "useradd",
    "python3": "python3",
    "tar": "tar",
    "util-linux": "mountpoint setsid unshare",
}
# What else our packages hold than the program that `docker/need` asks for.
ALSO_IN: dict[str, str] = {
    "docker.io": "docker",
    "g++": "c++",
    "openssh-client": "ssh-keygen",
    "munge": "munge",
    "mariadb-server-core": "mariadb-install-db",
    "slurm-client": "sacct sacctmgr scancel scontrol sinfo squeue srun",
}
# What only packages hold that ours depend on: of g++, binutils.
BEHIND: dict[str, str] = {"g++": "readelf"}
# What is not to be had as a package everywhere; whatever calls these does without them.
NOT_DEBIANS = {
    "chromium": "a snap on Ubuntu: a test that opens a report in it is skipped where it is absent",
    "tritonserver": "NVIDIA's: a test that needs it is skipped",
    "nvcc": "CUDA's compiler: tests that need it are skipped, images have it where their base does",
    "nvidia-smi": "NVIDIA's driver: where it is absent there is no GPU to use",
    "nvpmodel": "JetPack's: a report has its answer where it is; the mode itself is read from its files",
}
# Programs that call others which their packages do not depend on, and why.
CALLED_INSIDE = {
    "mmdebstrap": {
        "arch-test": "whether programs of another architecture run here",
        "debian-archive-keyring": "the keys that packages are signed with, absent on Ubuntu",
    },
    "docker.io": {"iptables": "the network of containers"},
    "podman": {"catatonit": "the first process of a container"},
    "mariadb-server-core": {"mariadb-client-core": "my_print_defaults, for mariadb-install-db"},
}
# They start the program that their arguments name.
_STARTERS = {"chroot", "exec", "setsid"}


def lacking(called: set[str], packages: set[str], programs: set[str]) -> set[str]:
    """Give the called programs that are not minimal, and not in these packages."""
    held = [*MINIMAL.values()]
    held += [each.get(package, "") for package in packages for each in (ALSO_IN, BEHIND)]
    return called - programs - set(" ".join(held).split()) - set(NOT_DEBIANS)


def needs(*scripts: str) -> dict[str, str]:
    """Give what scripts name to ``docker/need``: the package by its program."""
    texts = [(ROOT / script).read_text() for script in scripts]
    words = [words for text in texts for words in commands(text) if words[0] == "docker/need"]
    pairs = [word.partition("=") for each in words for word in each[1:]]
    return {program: package or program for program, _, package in pairs}


def called_by_script(text: str) -> set[str]:
    """Name the programs that a shell script calls, without its own functions and the shell's."""
    own = {_text(node.child_by_field_name("name")) for node in _nodes(text, "function_definition")}
    found: set[str] = set()
    for words in commands(text):
        found.add(words[0])
        if words[0] in _STARTERS:
            found.update([word for word in words[1:] if not word.startswith("-")][:1])
    return {name for name in found if _is_program(name)} - own - _builtins()


def commands(text: str) -> Iterator[list[str]]:
    """Give the words of each command in a shell script, as they are written."""
    for node in _nodes(text, "command"):
        names = [each for each in node.children if each.type != "variable_assignment"]
        yield [_text(each) for each in names]


def makefile_recipes() -> str:
    """Give the Makefile's recipes as a shell script."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    recipe = [line[1:].lstrip("@") for line in lines if line.startswith("\t")]
    return re.sub(r"\$\((\w+)\)", r"./\1", "\n".join(recipe))


def dockerfile_commands(path: Path) -> str:
    """Give the RUN lines of a Dockerfile as a shell script."""
    text = path.read_text().replace("\\\n", " ")
    return "\n".join(line[4:] for line in text.splitlines() if line.startswith("RUN "))


def called_by_python(path: Path) -> set[str]:
    """Name the programs that a module starts, or looks for, by a name that stands in it."""
    tree = ast.parse(path.read_text())
    lists = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    names = [_first(call.args[0], lists) for call in calls if _starts(call.func)]
    return {name for name in names if _is_program(name)}


def _starts(function: ast.expr) -> bool:
    return ast.unparse(function) in {
        "subprocess.run", "subprocess.Popen", "subprocess.check_output", "shutil.which",
        "output_of", "run_logged",
    }  # fmt: skip


def _first(argument: ast.expr, lists: Mapping[str, ast.expr]) -> str:
    """Give a command's first word where it is written out, in place or in a variable."""
    if isinstance(argument, ast.Name):
        argument = lists.get(argument.id, argument)
    if isinstance(argument, (ast.List, ast.Tuple)) and argument.elts:
        argument = argument.elts[0]
    word = argument.value if isinstance(argument, ast.Constant) else ""
    return word if isinstance(word, str) else ""


def _is_program(name: str) -> bool:
    """Whether it is found on the PATH: neither a path, nor in a variable."""
    return bool(name) and not set(name) & set("/$\"'`(")


@functools.cache
def _builtins() -> set[str]:
    return set(subprocess.check_output(["bash", "-c", "compgen -bk"], text=True).split())


def _nodes(text: str, kind: str) -> list[Node]:
    """Give the nodes of a kind in a shell script, in order.

    Raises:
        ValueError: it is not a shell script.
    """
    root = Parser(Language(tree_sitter_bash.language())).parse(text.encode()).root_node
    if root.has_error:
        raise ValueError(f"cannot be read as a shell script: {text[:200]}")
    found, todo = [], [root]
    while todo:
        node = todo.pop()
        found += [node] if node.type == kind else []
        todo += reversed(node.children)
    return found


def _text(node: Node | None) -> str:
    return node.text.decode() if node and node.text else ""
