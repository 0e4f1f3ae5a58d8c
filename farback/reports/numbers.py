"""Numbers and durations as text."""


def number(value: float, digits: int = 4) -> str:
    """Returns a number with `digits` significant digits, and all digits before the point."""
    return f"{value:,.0f}" if 10 ** (digits - 1) <= abs(value) < 1e12 else f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    """Returns a duration in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
