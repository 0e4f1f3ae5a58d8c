"""The command line: every command is a call that a user could write."""

from engram.cli.main import main as main
