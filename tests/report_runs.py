"""Made-up records of runs, for tests of reports."""

import numpy as np

from farback.reports.record import Record

HOSTILE = """<script>document.title = "taken"</script><img src=x onerror=alert(1)>"' $x^{ &amp; \x1b\n_日本\udcff"""
LEVELS = {"optimum": 0.05, "memoryless": 0.31}


def rows(seeds=5, count=40, spacing=100, end=0.1, rate=50_000.0):
    """A loss that falls to `end`, with noise for each seed, and an accuracy that every third row lacks."""
    noise = np.random.default_rng(0).normal(size=(count, seeds)) * 0.01
    return [
        {
            "update": 10 * k,
            "step": spacing * k,
            "seed": seed,
            "losses/loss": end + 0.6 * float(np.exp(-8 * k / count)) + float(noise[k - 1, seed]),
            "charts/accuracy": None if k % 3 == 0 else 1 - 0.5 * float(np.exp(-8 * k / count)),
            "charts/SPS": rate,
            "time/seconds": spacing * k / rate,
        }
        for k in range(1, count + 1)
        for seed in range(seeds)
    ]


def record(name="run", lines=None, *, config=None, metric="losses/loss", minimise=True, levels=LEVELS):
    config = (
        {"algorithm": "supervised", "task": "AnBn(1, 32)", "cell": "GRU(64)", "seeds": 5, "log_every": None}
        if config is None
        else config
    )
    return Record(name, config, rows() if lines is None else lines, metric, minimise, levels)


def comparison():
    """Three runs that differ in steps, spacing, seeds and metrics."""
    plain = rows(3, 25, 70, 0.3, 9_000.0)
    for row in plain:
        del row["charts/accuracy"]
    return [
        record("uoro", rows(5, 40, 100, 0.08, 41_000.0), config={"cell": "GRU(64)", "estimator": "UORO()"}),
        record("tbptt", plain, config={"cell": "GRU(64)", "estimator": "TBPTT(20)"}),
        record(
            "rtrl", rows(2, 10, 100, 0.06, 110_000.0), config={"cell": "GRU(64)", "estimator": "RTRL()", "batch_size": 4}
        ),
    ]
