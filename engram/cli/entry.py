"""The entry point: which commands there are, and how they end."""

import json
import math
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import tyro

from engram.cli.cache import use_compilation_cache
from engram.cli.catalogue import List
from engram.cli.certify import Certify
from engram.cli.completion import Completion
from engram.cli.console import say
from engram.cli.diagnose import Diagnose
from engram.cli.doctor import Doctor
from engram.cli.evaluate import Evaluate
from engram.cli.report import Report
from engram.cli.reproduce import Reproduce
from engram.cli.train import Train
from engram.cli.watch import Watch
from engram.runs.loop import DivergedError, StoppedError
from engram.types import InputError

COMMANDS = {
    "train": Train,
    "eval": Evaluate,
    "watch": Watch,
    "report": Report,
    "certify": Certify,
    "diagnose": Diagnose,
    "reproduce": Reproduce,
    "list": List,
    "doctor": Doctor,
    "completion": Completion,
}


def main() -> None:
    """Runs a command. Exit codes: 0 done, 2 bad input, 129, 130, 143 interrupted and saved, 1 anything else."""
    command = parse(sys.argv[1:])
    use_compilation_cache()
    code = 0
    try:
        result = command.run()
    except InputError as error:
        code, result = 2, {"error": str(error)}
    except DivergedError as error:
        code, result = error.code, {"error": str(error)}
    except StoppedError as error:
        code, result = error.code, {"error": f"{error} Go on with: {shlex.join(['engram', *sys.argv[1:]])}"}
    except KeyboardInterrupt:
        code, result = 130, {"error": "Interrupted; what the last checkpoint holds is saved."}
    except BrokenPipeError:  # whoever read this has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        code = 2 if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError | FileNotFoundError) else 1
        result = {"error": f"'{error.filename}' cannot be used: {error.strerror}. Mend that, or give another path."}
    if code:
        say(f"engram: {result['error']}")
    if command.json and code in (0, 129, 130, 143):
        print(json.dumps(finite(result), allow_nan=False))
    sys.exit(code)


def finite(value: Any) -> Any:
    """A value as JSON can hold it: what is not finite is null."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse(arguments: Sequence[str]) -> Any:
    """The command that arguments ask for."""
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="engram",
        description="Trains models and agents that remember longer than they can backpropagate.",
        args=arguments,
    )
