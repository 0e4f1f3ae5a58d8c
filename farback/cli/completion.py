"""`farback completion`."""

import contextlib
import dataclasses
import io
from typing import Annotated, Any, Literal, Union

import tyro

from farback.cli.certify import certify_command
from farback.cli.commands import COMMANDS
from farback.cli.console import Json
from farback.cli.train import train_command
from farback.runs.algorithms import ALGORITHMS


@dataclasses.dataclass(frozen=True)
class Completion:
    """Print a script that completes the commands and flags of farback in a shell.

    Two examples that work:
      source <(farback completion bash)
      farback completion zsh > ~/.zfunc/_farback
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "tcsh"]]
    """The shell."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        script = io.StringIO()
        with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
            tyro.extras.subcommand_cli_from_dict(
                _all_commands(), args=["--tyro-print-completion", self.shell], prog="farback"
            )
        if not self.json:
            print(script.getvalue())
        return {"shell": self.shell, "script": script.getvalue()}


def _all_commands() -> dict[str, Any]:
    """Returns all commands, with those of each algorithm inside train and certify."""
    nested = {
        "train": {name: train_command(name) for name in ALGORITHMS},
        "certify": {name: certify_command(name) for name in ALGORITHMS},
    }
    return COMMANDS | {name: _nested(name, commands) for name, commands in nested.items()} | {"completion": Completion}


def _nested(name: str, commands: dict[str, type]) -> type:
    """Returns a command made of subcommands."""
    options = tuple(Annotated[command, tyro.conf.subcommand(word)] for word, command in commands.items())
    kind = tyro.conf.OmitSubcommandPrefixes[tyro.conf.OmitArgPrefixes[Union[options]]]  # noqa: UP007
    return dataclasses.make_dataclass(name, [("algorithm", kind)])
