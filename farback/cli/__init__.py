"""The command line: every command is a call that a user could write."""

from farback.cli.entry import main as main
