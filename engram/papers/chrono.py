"""Can recurrent neural networks warp time? Tallec and Ollivier, ICLR 2018; thesis chapter 5."""

from engram.papers.item import Case, Item, Scale, Unit, configured
from engram.runs.config import Config
from engram.tasks import Adding, Copy, VariableCopy

TITLE = "Time warping and chrono initialisation"
NATS = Unit("nats a step")


def against_standard(task: str, length: int, longest: int, batch: int, updates: int, seeds: int) -> list[Case]:
    """An LSTM with chrono initialisation and one with a forget bias of 1, on whole episodes; RMSprop, 10⁻³, 0.9."""
    return [
        configured(
            f"{name}, {task}",
            Config(
                task=task,
                cell=f"LSTM(128, gates={gates})",
                estimator="BPTT()",
                optimiser="rmsprop(1e-3, 0.9)",
                batch=batch,
                length=length,
                steps=updates * batch * length,
                seed=0,
                seeds=seeds,
                log_every=max(1, updates // 250),
            ),
        )
        for name, gates in (("chrono", f"Chrono({longest})"), ("standard", "Forget(1.0)"))
    ]


def copy(scale: Scale) -> list[Case]:
    delay, batch, updates, seeds = {"smoke": (20, 4, 20, 2), "laptop": (500, 16, 3_000, 2), "paper": (500, 32, 10_000, 5)}[
        scale
    ]
    return against_standard(f"Copy({delay})", delay + 20, 3 * delay // 2, batch, updates, seeds)


def variable_copy(scale: Scale) -> list[Case]:
    delay, batch, updates, seeds = {"smoke": (20, 4, 20, 2), "laptop": (500, 16, 3_000, 2), "paper": (1000, 32, 10_000, 5)}[
        scale
    ]
    return against_standard(f"VariableCopy({delay})", delay + 20, delay, batch, updates, seeds)


def adding(scale: Scale) -> list[Case]:
    length, batch, updates, seeds = {"smoke": (20, 4, 20, 2), "laptop": (200, 32, 4_000, 2), "paper": (750, 50, 10_000, 5)}[
        scale
    ]
    return against_standard(f"Adding({length})", length, length, batch, updates, seeds)


def warped(scale: Scale, pad: bool) -> list[Case]:
    """Three cells of 64 units on uniform warps (every symbol m times) and on variable ones (1 to m times)."""
    times, updates, seeds = {
        "smoke": ((3,), 10, 2),
        "laptop": ((10, 50), 1_500, 2),
        "paper": ((10, 20, 50, 100), 4_688, 5),
    }[scale]
    return [
        configured(
            f"{cell}, {kind} {m}",
            Config(
                task=f"Warp({low}, {m}, pad={pad})",
                cell=f"{cell}(64)",
                estimator="BPTT()",
                optimiser="rmsprop(1e-3, 0.9)",
                batch=32,
                length=500,
                steps=updates * 32 * 500,
                seed=0,
                seeds=seeds,
                log_every=max(1, updates // 250),
            ),
        )
        for m in times
        for kind, low in (("uniform", m), ("variable", 1))
        for cell in (("Gated",) if scale == "smoke" else ("Elman", "Leaky", "Gated"))
    ]


ITEMS = [
    Item(
        "chrono/copy",
        "Copy, T = 500 (fig. 5.3)",
        "With chrono initialisation the loss falls far below that of a guess, on which the standard initialisation stays.",
        copy,
        {"smoke": 1, "laptop": 60, "paper": 500},
        "losses/loss",
        NATS,
        {"optimum": 0.0, "guess of the data": Copy(500).blind},
    ),
    Item(
        "chrono/variable-copy",
        "Variable copy (fig. 5.3)",
        "At T = 500 the two initialisations do as well; at 1000 chrono wins.",
        variable_copy,
        {"smoke": 1, "laptop": 60, "paper": 1000},
        "losses/loss",
        NATS,
        {"optimum": 0.0, "guess of the data, T = 500": VariableCopy(500).blind, "T = 1000": VariableCopy(1000).blind},
    ),
    Item(
        "chrono/adding",
        "Adding (fig. 5.4)",
        "Chrono initialisation leaves the plateau of 0.167 several times sooner, the more so the longer the sequence.",
        adding,
        {"smoke": 1, "laptop": 40, "paper": 600},
        "charts/squared_error",
        Unit("squared error"),
        {"optimum": 0.0, "the answer 1": Adding(200).blind * 200},
    ),
    Item(
        "chrono/warp",
        "Warped time (fig. 5.1, top)",
        "Leaky and gated units solve uniform warps, and only gated ones variable warps; the simple network neither.",
        lambda scale: warped(scale, pad=False),
        {"smoke": 2, "laptop": 60, "paper": 1500},
        "losses/loss",
        NATS,
        {"optimum": 0.0},
    ),
    Item(
        "chrono/pad",
        "Padded time (fig. 5.1, bottom)",
        "The same where time is filled with blanks instead of repetitions.",
        lambda scale: warped(scale, pad=True),
        {"smoke": 2, "laptop": 60, "paper": 1500},
        "losses/loss",
        NATS,
        {"optimum": 0.0},
    ),
]
