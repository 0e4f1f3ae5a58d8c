"""The entry point: the commands, their results as JSON, and their exit codes."""

import json
import math
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from farback.cli.cache import use_compilation_cache
from farback.cli.certify import ABOUT as ABOUT_CERTIFY
from farback.cli.certify import certify_commands
from farback.cli.commands import COMMANDS
from farback.cli.completion import Completion
from farback.cli.console import say
from farback.cli.help import Choice, choose, first_sentence
from farback.cli.train import ABOUT as ABOUT_TRAIN
from farback.cli.train import train_commands
from farback.runs.options import DivergedError, StoppedError
from farback.types import InputError

ABOUT = "Trains models and agents that remember further back than they can backpropagate."


def main() -> None:
    """Runs a command. Exit codes: 0 done; 2 bad input; 129, 130, 143 interrupted and saved; 1 anything else."""
    code, wants_json = 0, "--json" in sys.argv
    result: dict[str, Any] = {}
    try:
        command = parse(sys.argv[1:])
        use_compilation_cache()
        result = command.run()
    except InputError as error:
        code, result = 2, {"error": str(error)}
    except DivergedError as error:
        code, result = error.code, {"error": str(error)}
    except StoppedError as error:
        code, result = error.code, {"error": f"{error} Resume with: {shlex.join(['farback', *sys.argv[1:]])}"}
    except KeyboardInterrupt:
        code, result = 130, {"error": "Interrupted; the last checkpoint is saved."}
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        code = 2 if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError | FileNotFoundError) else 1
        result = {"error": f"'{error.filename}' cannot be used: {error.strerror}. Correct that, or give another path."}
    if code:
        say(f"farback: {result['error']}")
    if wants_json and code in (0, 129, 130, 143):
        print(json.dumps(finite(result), allow_nan=False))
    sys.exit(code)


def finite(value: Any) -> Any:
    """Returns a value that JSON can hold: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse(arguments: Sequence[str]) -> Any:
    """Returns the command that arguments ask for."""
    match list(arguments):
        case ["train", *rest]:
            return choose("farback train", ABOUT_TRAIN, *train_commands(rest))
        case ["certify", *rest]:
            return choose("farback certify", ABOUT_CERTIFY, certify_commands(), rest)
        case words:
            commands = COMMANDS | {"completion": Completion}
            choices = {
                name: Choice(first_sentence(command.__doc__), lambda command=command: command)
                for name, command in commands.items()
            }
            return choose("farback", ABOUT, choices, words)
