"""The tables: what is measured, against what, and the targets."""

from agent_cases import (
    against_memorax,
    against_one_by_one,
    against_sb3,
    attending,
    learning_to_learn,
    products,
    random_play,
    solving,
    ten_agents,
    update_of_memory,
)
from off_policy_cases import (
    against_continuous_rl,
    against_flashbax,
    against_rejax,
    against_sbx,
    five_seeds,
    r2d2_against_memorax,
)
from table import (
    Found,
    Row,
    Side,
    Table,
    Target,
    first_to_last,
    gigabytes,
    in_microseconds,
    in_seconds,
    inverse_ratio,
    mebibytes,
    ratio,
    seconds,
)
from world_cases import against_vizdoom, seen_against_sb3, shares_of_learning


def tables(quick: bool, continuous_rl: str | None = None) -> list[Table]:
    """All tables; `quick` only checks that they run. A table is left out without its checkout, `continuous_rl`."""
    short = " --seconds 0.3" if quick else ""
    return [
        against_torch(short),
        uoro_cost(short),
        uoro_against_torch(short),
        against_braintrace(short),
        exactness(50 if quick else 1000),
        constant_memory(10_000 if quick else 1_000_000),
        long_window(500 if quick else 20_000),
        startup(),
        looking(1000 if quick else 100),
        seeds(1000 if quick else 100),
        against_sb3(short, 1 if quick else 4),
        against_memorax(short),
        random_play(short),
        ten_agents(short),
        against_one_by_one(short),
        learning_to_learn(short),
        products(short),
        update_of_memory(short),
        solving(quick),
        attending(quick),
        against_flashbax(short),
        against_rejax(short),
        against_sbx(short),
        r2d2_against_memorax(short),
        five_seeds(short),
        against_vizdoom(short),
        seen_against_sb3(short, 1 if quick else 2),
        shares_of_learning(short),
        *([] if continuous_rl is None else [against_continuous_rl(continuous_rl, short)]),
    ]


def against_torch(short: str) -> Table:
    """BPTT training against PyTorch."""

    def row(cell, hidden, batch, steps):
        case = f"bptt --cell {cell} --hidden {hidden} --batch {batch} --steps {steps}{short}"
        name = f"{cell} {hidden}, batch {batch}, T = {steps}"
        sides = (Side("farback", f"{case} --devices 2"), Side("farback", case), Side("torch", case))
        return Row(name, sides, Target(first_to_last, 1.0, at_least=True))

    sizes = ((128, 32, 100), (128, 128, 520), (512, 64, 100))
    return Table(
        "a",
        "Backpropagation through time against PyTorch on CPU",
        "Steps of sequences trained on per second, in thousands. 10 inputs, linear readout to 10 outputs, mean squared "
        "error on every step; an update is forward, backward and Adam. PyTorch: `nn.LSTM`, `nn.GRU`. Two devices are the "
        "two cores of this machine: `Sharded(BPTT(), 2)` after `jax.config.update('jax_num_cpu_devices', 2)`; the target "
        "applies to them.",
        ("farback, 2 devices", "farback, 1 device", "PyTorch, 2 threads"),
        tuple(row(cell, *size) for size in sizes for cell in ("LSTM", "GRU")),
        lambda found: found["tokens_per_second"],
        lambda found: f"{found['tokens_per_second'] / 1000:.1f}",
    )


def stream(estimator: str, symbols: int, short: str, cell: str = "GRU", hidden: int = 64) -> str:
    """The case of one update per step on a stream of symbols."""
    return f"stream --estimator '{estimator}' --cell {cell} --hidden {hidden} --symbols {symbols}{short}"


def uoro_cost(short: str) -> Table:
    """The cost of UORO against truncation."""

    def row(symbols):
        sides = tuple(Side("farback", stream(estimator, symbols, short)) for estimator in ("UORO()", "TBPTT(1)"))
        return Row(f"GRU 64, {symbols} symbols, UORO / TBPTT(1)", sides, Target(ratio, 3.2, at_least=False))

    return Table(
        "b",
        "One update of UORO against one of one-step truncation",
        "One sequence, one update per step (window 1), Adam; `Supervised.train`, which draws the symbols as it goes.",
        ("UORO()", "TBPTT(1)"),
        tuple(row(symbols) for symbols in (4, 36)),
        seconds,
        in_microseconds,
    )


def uoro_against_torch(short: str) -> Table:
    """UORO against eager PyTorch."""

    def row(symbols):
        # One thread: tensors of this size gain nothing from more, and on a busy machine more threads cost much.
        theirs = Side("torch", f"uoro --hidden 64 --symbols {symbols} --threads 1{short}")
        sides = (Side("farback", stream("UORO()", symbols, short)), theirs)
        return Row(f"GRU 64, {symbols} symbols, UORO", sides, Target(inverse_ratio, 60.0, at_least=True, form="{:.0f}×"))

    return Table(
        "b",
        "One update of UORO against a straightforward PyTorch version",
        "As above. PyTorch: eager, two backward passes, the tangent as a finite difference as in the authors' code, one "
        "thread, symbols drawn beforehand.",
        ("farback", "PyTorch"),
        tuple(row(symbols) for symbols in (4, 36)),
        seconds,
        in_microseconds,
    )


def against_braintrace(short: str) -> Table:
    """Online estimators against braintrace."""

    def row(estimator, cell, hidden, symbols, theirs):
        ours = Side("farback", stream(f"{estimator}()", symbols, short, cell, hidden))
        other = Side("braintrace", stream(estimator, symbols, short, theirs, hidden))
        name = f"{estimator}, {cell} {hidden}, {symbols} symbols" + (", the same equations" if theirs != cell else "")
        return Row(name, (ours, other), Target(inverse_ratio, 1.0, at_least=True))

    return Table(
        "c",
        "One update of UORO and of RTRL against braintrace",
        "As above. braintrace: `UORO` and `SnAp(n=2)`, which is exact where the recurrence is dense; "
        '`vjp_method="multi-step"`; optax; symbols drawn beforehand. Its own `GRUCell` applies the reset gate '
        "before the product; *the same equations* is a GRU of its parts that applies it after the product, as Farback and "
        "PyTorch do.",
        ("farback", "braintrace"),
        (
            row("UORO", "GRU", 64, 4, "GRU"),
            row("UORO", "GRU", 64, 36, "GRU"),
            row("UORO", "GRU", 64, 4, "GRUAfter"),
            row("RTRL", "GRU", 32, 4, "GRU"),
            row("RTRL", "GRU", 32, 4, "GRUAfter"),
            row("RTRL", "LSTM", 32, 4, "LSTM"),
        ),
        seconds,
        in_microseconds,
    )


def exactness(draws: int) -> Table:
    """Whether the gradients are those of backpropagation."""

    def row(estimator, cell, theirs):
        rest = "--hidden 16 --symbols 4 --steps 16" + (f" --draws {draws}" if estimator == "UORO" else "")
        ours = Side("farback", f"exactness --estimator '{estimator}()' --cell {cell} {rest}")
        other = Side("braintrace", f"exactness --estimator {estimator} --cell {theirs} {rest}")
        return Row(f"{estimator}, {cell}" + (", the same equations" if theirs != cell else ""), (ours, other))

    return Table(
        "c",
        "The same gradients against backpropagation",
        "‖E ĝ − g‖ / ‖g‖ of the first window of 16 steps, 16 units, in double precision. g is the gradient of "
        f"backpropagation through the same network. For UORO, E is the mean of {draws} draws, and the number after ± is "
        "the error that their scatter alone explains. *Worst* is the parameter whose error chance explains least, shown if "
        "chance does not explain it.",
        ("farback", "braintrace"),
        tuple(row(*case) for case in (("RTRL", "GRU", "GRU"), ("RTRL", "GRU", "GRUAfter"), ("RTRL", "LSTM", "LSTM")))
        + tuple(row("UORO", "GRU", theirs) for theirs in ("GRU", "GRUAfter")),
        lambda found: found["error"],
        show_error,
        once=True,
    )


def show_error(found: Found) -> str:
    noise = f" ± {found['noise']:.2g}" if found["noise"] else ""
    significant = found["worst_error"] > max(4 * found["worst_noise"], 1e-5)
    return f"{found['error']:.2g}{noise}" + (
        f"; worst: `{found['worst']}` {found['worst_error']:.2g}" if significant else ""
    )


def constant_memory(updates: int) -> Table:
    """The memory of forward estimators in the length of the past."""

    def row(estimator):
        case = f"memory --estimator '{estimator}' --cell GRU --hidden 16 --symbols 4 --updates"
        sides = tuple(Side("farback", f"{case} {number}") for number in (1000, updates))
        return Row(f"{estimator}, GRU 16", sides, Target(inverse_ratio, 1.1, at_least=False))

    return Table(
        "d",
        "Memory by the number of steps",
        "Peak resident memory of a process that makes these steps, with an update at each, in one compiled program. "
        "Compiling takes most of it; storing the states of a million steps would add 61 MiB.",
        ("1,000 steps", f"{updates:,} steps"),
        tuple(row(estimator) for estimator in ("UORO()", "RTRL()")),
        lambda found: found["peak_bytes"],
        lambda found: mebibytes(found["peak_bytes"]),
        once=True,
    )


def long_window(steps: int) -> Table:
    """The memory of a long window."""
    case = f"segments --cell LSTM --hidden 128 --batch 32 --steps {steps}"
    sides = (Side("farback", f"{case} --segmented 1"), Side("farback", f"{case} --segmented 0 --execute 0"))
    target = Target(gigabytes, 2.0, at_least=False, form="{:.2f} GB")
    return Table(
        "e",
        "Memory of a long window",
        "BPTT, Adam: the peak resident memory of a process that makes one update, and the memory of the program according "
        "to the compiler (arguments, results and temporaries); with `segmented=False`, only the latter.",
        ("segmented=True", "segmented=False"),
        (Row(f"LSTM 128, batch 32, T = {steps:,}", sides, target),),
        lambda found: found.get("peak_bytes", found["program_bytes"]),
        show_program,
        once=True,
    )


def show_program(found: Found) -> str:
    resident = f"{mebibytes(found['peak_bytes'])} resident, " if "peak_bytes" in found else ""
    return f"{resident}{mebibytes(found['program_bytes'])} program"


def startup() -> Table:
    """Startup times."""
    cases = {
        "import jax": "import --module jax",
        "import farback": "import --module farback",
        "farback diagnose, empty compilation cache": "diagnose --cache cold",
        "farback diagnose, second run": "diagnose --cache warm",
    }
    return Table(
        "f",
        "Time to the first result",
        "Whole processes, from start to exit. `farback diagnose` without arguments compares seven estimators.",
        ("time",),
        tuple(Row(name, (Side("startup", case),)) for name, case in cases.items()),
        seconds,
        in_seconds,
    )


STREAMS = {
    "UORO, GRU 64, batch 1, window 1": ("--estimator 'UORO()' --cell 'GRU(64)' --batch 1 --length 1", 600_000),
    "BPTT, LSTM 64, batch 16, window 64": ("--estimator 'BPTT()' --cell 'LSTM(64)' --batch 16 --length 64", 8_000),
}


def looking(part: int) -> Table:
    """The cost of logging and saving."""

    def row(name: str, case: str, updates: int) -> Row:
        sides = tuple(Side("runs", f"{what} {case} --updates {100 * updates // part}") for what in ("run", "bare"))
        return Row(name, sides, Target(ratio, 1.02, at_least=False))

    return Table(
        "g",
        "A run against its bare updates",
        "One update on AnBn(1, 32), in a run with its log, its checkpoints and one progress report a second, and in the "
        "same compiled program called without them.",
        ("run", "bare"),
        tuple(row(name, *stream) for name, stream in STREAMS.items()),
        seconds,
        in_microseconds,
    )


def seeds(part: int) -> Table:
    """The cost of ten seeds."""

    def row(name: str, case: str, updates: int) -> Row:
        asked = f"run {case} --updates {20 * updates // part}"
        return Row(
            name, tuple(Side("runs", f"{asked} --seeds {count}") for count in (10, 1)), Target(ratio, 10, at_least=False)
        )

    return Table(
        "h",
        "Ten seeds against one",
        "One update on AnBn(1, 32) of ten models at once, and of one.",
        ("ten seeds", "one seed"),
        tuple(row(name, *stream) for name, stream in STREAMS.items()),
        seconds,
        in_microseconds,
    )
