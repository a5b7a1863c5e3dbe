"""Python source as a syntax tree, one thread at a time.

In CPython 3.11 the tree of one thread spoils that of another: garbage that is collected in
the middle lets the other go on, and both count how deep they are in one place ("AST constructor
recursion depth mismatch"). Steps that run side by side look at their source in threads.
"""

import ast
import threading

_ONE = threading.Lock()


def parse(source: str | bytes, name: str = "<unknown>") -> ast.Module:
    """Parse a module; ``name`` is the file that an error names.

    Raises:
        SyntaxError, ValueError: it is not Python.
    """
    with _ONE:
        return ast.parse(source, name)
