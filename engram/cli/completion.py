"""`engram completion`."""

import contextlib
import dataclasses
import io
from typing import Any, Literal

import tyro

from engram.cli.console import Json


@dataclasses.dataclass(frozen=True)
class Completion:
    """Print a script that completes the commands and flags of engram in a shell.

    Two examples that work:
      source <(engram completion bash)

      engram completion zsh > ~/.zfunc/_engram
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "tcsh"]]
    """The shell."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        from engram.cli.entry import parse

        script = io.StringIO()
        with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
            parse(["--tyro-print-completion", self.shell])
        if not self.json:
            print(script.getvalue())
        return {"shell": self.shell, "script": script.getvalue()}
