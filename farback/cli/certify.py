"""`farback certify`."""

import dataclasses
from functools import partial
from typing import Annotated, Any, ClassVar

import tyro
from rich.console import Console
from rich.live import Live
from rich.text import Text

from farback.cli.arguments import OptionalWhole, Whole, flags, words
from farback.cli.console import Json, show_table
from farback.cli.help import Choice, summary
from farback.reports.numbers import number
from farback.runs.algorithms import ALGORITHMS
from farback.runs.config import SOURCES as SHOWN
from farback.runs.config import configure
from farback.runs.program import Program
from farback.sweeps import CertifyResult, certify
from farback.types import InputError

ABOUT = (
    "Find the longest memory that an algorithm learns: the size doubles until the algorithm fails to solve it.\n"
    "{} in an argument stands for the size. farback certify ALGORITHM --help shows the flags, with an example."
)
GAP = "{}"
COLUMNS = ("size", "solved", "each seed", "mean score", "memoryless", "optimum", "updates", "seconds")
USUAL = {"optimizer": "chain(clip_by_global_norm(1.0), adam(1e-3))", "num_envs": 32, "batch_size": 32}
"""Defaults that replace the algorithm's own."""
SOURCES = {"env": "TMaze({})", "task": "SignalledCopy({}, symbols=4, length=2)", "data": "RandomEpisodes(TMaze({}))"}
"""The arguments that may contain the size, each with the example in the help."""
CONTINUOUS = {"ddpg", "sac", "memory-actor-critic"}
"""Algorithms for continuous actions."""
WITHOUT_MEMORY = {"dau", "tabular-q"}
"""Algorithms that none of the environments with a longest memory is for."""


class CertifyCommand:
    """The commands of all algorithms."""

    algorithm: ClassVar[str]

    def run(self: Any) -> dict[str, Any]:
        found = words(self, self.algorithm)
        if not any(isinstance(value, str) and GAP in value for value in found.values()):
            raise InputError(f"No argument depends on the size: put {GAP} in its place, as in 'TMaze({GAP})'.")
        results: list[CertifyResult] = []
        with Live(console=Console(stderr=True), transient=True) as live:

            def progress(result: CertifyResult) -> None:
                done = f"{result.percent} after {result.updates:,} updates, {result.seconds:.0f} s"
                live.update(Text(f"{result.size}: {done}"))

            for result in certify(self.program, self.size, 60 * self.minutes, self.threshold, progress=progress):
                results.append(result)
        rows = [
            (
                f"{one.size:,}",
                "yes" if one.solved else "no",
                one.percent,
                *(number(sum(values) / len(values)) for values in zip(*one.scores, strict=True)),
                f"{one.updates:,}",
                f"{one.seconds:.0f}",
            )
            for one in results
        ]
        longest = max((one.size for one in results if one.solved), default=None)
        caption = "No size was solved." if longest is None else f"The longest size solved is {longest:,}."
        title = ", ".join([self.algorithm, *(str(found[name]) for name in SHOWN if found.get(name) is not None)])
        show_table(title, COLUMNS, rows, caption)
        attempts = [
            one._asdict() | {"scores": [each._asdict() for each in one.scores], "mastery": one.mastery} for one in results
        ]
        return {"longest": longest, "results": attempts}

    def program(self: Any, size: int) -> Program:
        """Returns the program for a size."""
        found = words(self, self.algorithm) | ({} if self.window_given else {"window": 1})
        found = {name: value.replace(GAP, str(size)) if isinstance(value, str) else value for name, value in found.items()}
        config = configure(self.algorithm, **found, total_steps=1, seeds=self.seeds)
        return (config if self.window_given else config.with_episode_window()).program()

    @property
    def window_given(self: Any) -> bool:
        """Whether the window is given or not needed; otherwise it is as long as an episode."""
        return getattr(self, "window", 0) is not None


def _help(text: str) -> Any:
    return tyro.conf.arg(help=text)


@dataclasses.dataclass(frozen=True)
class SizeFlags:
    """The flags of a certification that all algorithms share."""

    size: Annotated[Whole, _help("The first size, in steps that the memory must bridge.")] = 8
    minutes: Annotated[float, _help("The minutes of training per size.")] = 10.0
    threshold: Annotated[
        float, _help("The mastery that every seed must reach: 0 is the best memoryless score, 1 the optimum.")
    ] = 0.95
    seeds: Annotated[Whole, _help("The number of seeds, which must all solve a size.")] = 5
    json: Json = False


def certify_command(algorithm: str) -> type:
    """Returns the command that certifies an algorithm."""
    own = [(field.name, field.type, dataclasses.field(default=field.default)) for field in dataclasses.fields(SizeFlags)]
    text = "The time steps of each sequence between two updates; by default, a whole episode."
    ours = [
        (name, Annotated[OptionalWhole, _help(text)], dataclasses.field(default=None))
        if name == "window"
        else (name, kind, field)
        for name, kind, field in flags(algorithm, USUAL)
    ]
    made = dataclasses.make_dataclass(f"Certify_{algorithm}", [*ours, *own], bases=(CertifyCommand,), frozen=True)
    made.algorithm = algorithm
    made.__doc__ = f"{summary(algorithm)}{_example(algorithm, [name for name, *_ in ours])}"
    return made


def _example(algorithm: str, names: list[str]) -> str:
    if algorithm in WITHOUT_MEMORY:
        return ""
    source = next(name for name in SOURCES if name in names)
    data = "HighLow({})" if algorithm in CONTINUOUS else SOURCES[source]
    return f"\n\nAn example that works:\n  farback certify {algorithm} --{source} '{data}' --minutes 0.05 --seeds 2"


def certify_commands() -> dict[str, Choice]:
    """Returns the commands of all algorithms."""
    return {name: Choice(summary(name), partial(certify_command, name)) for name in ALGORITHMS}
