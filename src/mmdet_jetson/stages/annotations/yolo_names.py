"""What the class numbers of YOLO labels mean: data.yaml, or a list of names beside the labels."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Dict, List, Mapping, Optional

import yaml

from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.records import Labels

SUFFIXES = (".yaml", ".yml")
_LISTS = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt", "predefined_classes.txt")
_LARGEST = 2**17
_MOST_BRACKETS = 200
_HINT = "it is YAML with the key names: a list, or numbers and names"


@dataclass(frozen=True)
class Names:
    """Class names by number, how many numbers a row's keypoints take, and where that is from."""

    by_number: Mapping[int, str]
    keypoints: Optional[int]
    source: str

    def of(self, text: str) -> str:
        """The name of a class number, which some tools write as 0.0.

        Raises:
            Defect: it is no number of a class.
        """
        try:
            number = float(text)
        except ValueError:
            raise Defect(
                f'the row begins with "{text[:40]}", not with the number of a class',
                "export the labels again in the format YOLO",
            ) from None
        if number not in self.by_number:
            raise Defect(
                f"the class number {text} is none of the {len(self.by_number)} of {self.source}",
                "add its name there, or remove the row",
            )
        return self.by_number[int(number)]


def source_root(path: Path, shown: str) -> Path:
    """The folder that ``shown``, a path inside the source, begins at: nothing above is read."""
    parts = PurePosixPath(shown).parts
    return path.parents[len(parts) - 1] if path.parts[-len(parts) :] == parts else path.parent


def found(path: Path, shown: str, labels: Labels, findings: Findings) -> Names:
    """The names from a data.yaml, or from the file nearest to a folder of labels.

    Raises:
        Defect: the file is not what it should be.
    """
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return _from_yaml(path)
    root = source_root(path, shown)
    for folder in [
        path,
        *(above for above in path.parents if above == root or root in above.parents),
    ]:
        for file in sorted(file for file in folder.glob("*.y*ml") if is_data_file(file)):
            return _from_yaml(file)
        for file in (folder / name for name in _LISTS):
            if file.is_file():
                return _from_list(file)
    findings.warn(
        "class numbers were taken to count the classes of the configuration, as no data.yaml, "
        "classes.txt or obj.names says what they are",
        shown,
    )
    return Names(dict(enumerate(labels.classes)), None, "the configuration")


def refuse_lists(path: Path) -> None:
    """Refuse a data.yaml whose splits are lists of pictures: which list is meant is not said.

    Raises:
        Defect: they are.
    """
    top = _top(path)
    for split in ("train", "val"):
        node = top.get(split)
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        texts = [item.value for item in items if isinstance(item, yaml.ScalarNode)]
        for text in texts:
            if text.lower().endswith(".txt"):
                raise Defect(
                    f"says that its pictures for {split} are those listed in {text[:100]}",
                    "set the split's annotations to that list, or to the folder of labels for all "
                    "of the pictures folder",
                )


def is_data_file(path: Path) -> bool:
    """Whether a YAML file has names of classes."""
    try:
        return "names" in _top(path)
    except Defect:
        return False


def _top(path: Path) -> Dict[str, yaml.Node]:
    """The keys of a YAML file, whose values are not yet made: aliases cannot grow, nor tags act.

    Raises:
        Defect: it is not YAML with keys, or names one twice.
    """
    try:
        data = path.read_bytes()
        if len(data) > _LARGEST:
            raise Defect(f"is too large for a data.yaml ({len(data)} bytes)", _HINT)
        text = data.decode("utf-8-sig")
        # The parser takes minutes for what is nested thousands of times.
        deep = text.count("[") + text.count("{") > _MOST_BRACKETS
        node = None if deep else yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise Defect(f"cannot be read ({error.strerror})", "make it readable") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Defect(f"is not YAML ({' '.join(str(error).split())[:100]})", _HINT) from error
    except RecursionError as error:
        raise Defect("is nested too deeply", _HINT) from error
    return _mapping(node, "is nested too deeply" if deep else "is not a data.yaml")


def _mapping(node: Optional[yaml.Node], what: str) -> Dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise Defect(what, _HINT)
    content: Dict[str, yaml.Node] = {}
    for key, value in node.value:
        text = _text(key)
        if text in content:
            raise Defect(f'has the key "{text}" twice', "remove one of them")
        content[text] = value
    return content


def _text(node: yaml.Node) -> str:
    """A scalar as it was written: a class called no or 0x1 keeps its name."""
    if not isinstance(node, yaml.ScalarNode):
        raise Defect("has a name that is not text", _HINT)
    return str(node.value)


def _from_yaml(path: Path) -> Names:
    top = _top(path)
    if "names" not in top:
        raise Defect("is YAML but not a data.yaml: it has no names", _HINT)
    names = _by_number(top["names"])
    if not names:
        raise Defect("has no names of classes", _HINT)
    if len(set(names.values())) != len(names):
        raise Defect("gives two class numbers the same name", "give each its own name")
    count = top.get("nc")
    if count is not None and _text(count) != str(len(names)):
        raise Defect(
            f"says nc: {_text(count)[:20]} but has {len(names)} names", "correct one of the two"
        )
    return Names(names, _keypoints(top.get("kpt_shape")), path.name)


def _by_number(node: yaml.Node) -> Dict[int, str]:
    if isinstance(node, yaml.SequenceNode):
        return {index: _text(item) for index, item in enumerate(node.value)}
    names: Dict[int, str] = {}
    for key, value in _mapping(node, "has names that are neither a list nor numbers").items():
        if not (key.isascii() and key.isdigit() and len(key) < 10) or int(key) in names:
            raise Defect(f'has the class number "{key[:40]}"', _HINT)
        names[int(key)] = _text(value)
    return names


def _keypoints(node: Optional[yaml.Node]) -> Optional[int]:
    if node is None:
        return None
    texts: List[str] = []
    if isinstance(node, yaml.SequenceNode):
        texts = [_text(item) for item in node.value]
    if len(texts) != 2 or not all(t.isascii() and t.isdigit() and len(t) < 6 for t in texts):
        raise Defect("has a kpt_shape that is not two numbers", _HINT)
    return int(texts[0]) * int(texts[1])


def _from_list(path: Path) -> Names:
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Defect(f"{path.name} cannot be read", "save it with the encoding UTF-8") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if len(set(lines)) != len(lines):
        raise Defect(f"{path.name} names a class twice", "give each number its own name")
    return Names(dict(enumerate(lines)), None, path.name)
