"""A pickle of tensors and plain data, opened without running anything that it asks for.

A pickle is a program for a small machine whose instructions may call any function of any module.
This machine has fewer instructions, looks names up in `allowed` alone and imports nothing, so
what a file can do is make numbers, texts and the containers of both. PyTorch 1.11 has nothing of
the kind (``weights_only`` came with 1.13).
"""

import pickle
import pickletools
import re
from collections import OrderedDict
from typing import IO, Any, Callable, Dict, List

import numpy as np

from mmdet_jetson.stages.checkpoints.allowed import (
    BUILDERS,
    NAMES,
    Ignored,
    Named,
    Refused,
    Storage,
    checked_keys,
)

# What is copied has to be in the file: so many times its size, which honest files stay far below.
MOST_COPIED = 16
# What an empty container counts as, in bytes: it takes 56 to 216.
CONTAINER = 64
LONGEST = 100
# Whatever else looks like a name is not one, but a file that is no pickle.
NAME = re.compile(r"[A-Za-z_][\w.]*")

FromFile = Callable[[object], Storage]

# What `torch.save` writes, by the protocols 2 (its own) to 4. No other instruction calls anything
# but REDUCE and NEWOBJ, no other changes an object but BUILD.
INSTRUCTIONS = {
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "MEMOIZE", "BINPUT",
    "LONG_BINPUT", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1",
    "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET", "GLOBAL",
    "STACK_GLOBAL", "INST", "BINPERSID", "REDUCE", "NEWOBJ", "BUILD",
}  # fmt: skip
NAME_OF = {ord(each.code): each.name for each in pickletools.opcodes}


class _Instructions(Dict[int, Callable[[Any], None]]):
    """The instructions by their code; each of the others refuses the file."""

    def __missing__(self, code: int) -> Callable[[Any], None]:
        def refuse(machine: "TensorUnpickler") -> None:
            # Without the first instruction of every newer pickle, this is no pickle at all.
            if code not in NAME_OF or not machine.proto:
                raise pickle.UnpicklingError(f"{code} is no instruction of a pickle")
            raise Refused(f"use the pickle instruction {NAME_OF[code]}, which no tensor needs")

        return refuse


def refuse_to_change(target: object, _: object) -> None:
    """Refuse content for an object of any other kind."""
    raise Refused(f"want to change a {type(target).__name__}")


# Not the unpickler in C, whose instructions cannot be taken away.
class TensorUnpickler(pickle._Unpickler):
    """Reads one pickle from a stream.

    Args:
        stream: where the pickle starts; what follows it is left unread.
        size: bytes of the file, which bound what is copied.
        storage: finds a tensor's numbers by what ``torch.save`` noted of them.
        strict: refuse objects of other kinds; else they are left out, unrun.
    """

    # What Python's own machine works with.
    proto: int
    stack: List[Any]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], List[Any]]

    def __init__(
        self, stream: IO[bytes], size: int, storage: FromFile, *, strict: bool = True
    ) -> None:
        super().__init__(stream, encoding="utf-8")
        self.storage, self.strict = storage, strict
        self.copies_left = MOST_COPIED * size

    def find_class(self, module: str, name: str) -> object:
        """Give what stands for a name in the file; nothing is imported.

        Raises:
            Refused: it is not among the few that tensors need.
        """
        if not NAME.fullmatch(module) or not NAME.fullmatch(name):
            raise pickle.UnpicklingError("a name that is none")
        wanted = f"{module}.{name}"
        if wanted not in NAMES and self.strict:
            # What is shown on a terminal must not steer it.
            shown = ascii(wanted if len(wanted) <= LONGEST else f"{wanted[:LONGEST]}...")[1:-1]
            raise Refused(f"want to run {shown}, which no tensor needs")
        return NAMES.get(wanted) or Named(wanted, lambda *_: Ignored())

    def unless_refused(self, make: Callable[..., object], *arguments: object) -> object:
        """Make something; where that is refused and objects may be left out, it is."""
        try:
            return make(*arguments)
        except Refused:
            if self.strict:
                raise
            return Ignored()

    def persistent_load(self, pid: object) -> object:
        """Give the numbers that a tensor shows."""
        return self.unless_refused(self.storage, pid)

    def load_inst(self) -> None:
        """Refuse an instruction that names what it calls, by that name if it is not allowed."""
        module, name = (self.readline()[:-1].decode("ascii") for _ in range(2))
        self.find_class(module, name)
        raise Refused("use the pickle instruction INST, which no tensor needs")

    def load_call(self) -> None:
        """Make an object: REDUCE and NEWOBJ alike."""
        arguments = self.stack.pop()
        target = self.stack.pop()
        if type(target) is not Named or type(arguments) is not tuple:
            raise Refused("want to call what is no function")
        self.spend(*arguments)
        self.stack.append(self.unless_refused(target.make, *arguments))

    def load_build(self) -> None:
        """Give an object its content, which each allowed kind has its own of."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(state, tuple):
            self.spend(*state)
        # Each of NumPy's dtypes is of a type of its own.
        kind = np.dtype if isinstance(target, np.dtype) else type(target)
        self.unless_refused(BUILDERS.get(kind, refuse_to_change), target, state)

    def load_append(self) -> None:
        """Append one item to a list."""
        item = self.stack.pop()
        self.extend([item])

    def load_appends(self) -> None:
        """Append the items above the mark to a list."""
        items = self.pop_mark()
        self.extend(items)

    def extend(self, items: List[object]) -> None:
        """Append to the list that lies on top; no other kind has what looks like it."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is not Ignored:
            raise Refused(f"want to append to a {type(target).__name__}")

    def load_setitem(self) -> None:
        """Put one item into a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def load_setitems(self) -> None:
        """Put the items above the mark, keys and values in turn, into a dictionary."""
        items = self.pop_mark()
        self.update(items)

    def update(self, items: List[object]) -> None:
        """Put keys and values into the dictionary that lies on top."""
        target = self.stack[-1]
        if type(target) in (dict, OrderedDict):
            pairs = zip(items[::2], items[1::2])
            target.update((key, value) for key, value in pairs if self.has_place(key))
        elif type(target) is not Ignored:
            raise Refused(f"want to put items into a {type(target).__name__}")

    def load_additems(self) -> None:
        """Put the items above the mark into a set."""
        items = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise Refused(f"want to put items into a {type(self.stack[-1]).__name__}")
        self.stack[-1].update(filter(self.has_place, items))

    def load_frozenset(self) -> None:
        """Make a set of the items above the mark."""
        items = self.pop_mark()
        self.stack.append(frozenset(filter(self.has_place, items)))

    def has_place(self, key: object) -> bool:
        """Tell whether a key, or an item of a set, is kept."""
        return self.unless_refused(checked_keys, [key]) == [key]

    def spend(self, *arguments: object) -> None:
        """Count what a call may copy: an item can be named again and again at two bytes a time."""
        sized = (str, bytes, tuple, list, dict)
        self.pay(sum(len(each) for each in arguments if isinstance(each, sized)))

    def pay(self, size: int) -> None:
        """Count memory that the file's size has to account for."""
        self.copies_left -= size
        if self.copies_left < 0:
            raise Refused("would become many times as large as their file")

    def load_empty_list(self) -> None:
        """Make a list, of one byte in the file."""
        self.spend_on_container()
        self.stack.append([])

    def load_empty_dictionary(self) -> None:
        """Make a dictionary, of one byte in the file."""
        self.spend_on_container()
        self.stack.append({})

    def load_empty_set(self) -> None:
        """Make a set, of one byte in the file."""
        self.spend_on_container()
        self.stack.append(set())

    def spend_on_container(self) -> None:
        """Count a container, which is many times as large as the instruction that makes it."""
        self.pay(CONTAINER)

    dispatch = _Instructions(
        {
            code: pickle._Unpickler.dispatch[code]
            for code, name in NAME_OF.items()
            if name in INSTRUCTIONS
        }
    )
    dispatch.update(
        {
            pickle.EMPTY_LIST[0]: load_empty_list,
            pickle.EMPTY_DICT[0]: load_empty_dictionary,
            pickle.EMPTY_SET[0]: load_empty_set,
            pickle.INST[0]: load_inst,
            pickle.REDUCE[0]: load_call,
            pickle.NEWOBJ[0]: load_call,
            pickle.BUILD[0]: load_build,
            pickle.APPEND[0]: load_append,
            pickle.APPENDS[0]: load_appends,
            pickle.SETITEM[0]: load_setitem,
            pickle.SETITEMS[0]: load_setitems,
            pickle.ADDITEMS[0]: load_additems,
            pickle.FROZENSET[0]: load_frozenset,
        }
    )
