"""What the tasks of ``tasks.py`` call: one module for each group of commands."""

import sys

# Invoke has Python keep nothing of what it compiles, so that every command compiled all of this
# anew, which takes longer than the command. Whoever has asked Python for that still gets it.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
