"""The commands, one module for each or for a few that belong together.

A command reads its arguments, calls one function, and says what it did, what is live now, and what comes next.
"""
