"""Numbers and lengths of time, as people read them."""


def number(value: float, digits: int = 4) -> str:
    """So many significant digits, and all of those before the point."""
    return f"{value:,.0f}" if 10 ** (digits - 1) <= abs(value) < 1e12 else f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    """A length of time in the two largest units that say something."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
