"""States as one line of text."""

WIDTH = 24


def track(place: int, places: int, mark: str = "●") -> str:
    """Returns a line of dots with a mark at `place` of `places`, scaled down to at most 24 characters."""
    width = min(places, WIDTH)
    before = min(max(place * width // places, 0), width - 1)
    return "·" * before + mark + "·" * (width - 1 - before)
