"""The commands, by what they do: `moving` pointers, `asking` about them, `sharing` them, `watching` them.

A command reads its arguments, calls one function, and says what it did, what is live now, and what comes next.
"""
