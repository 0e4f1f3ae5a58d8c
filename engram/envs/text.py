"""States in a line of text."""

WIDTH = 24


def track(place: int, places: int, mark: str = "●") -> str:
    """A mark on its way from the first of some places to the last; a long way is shown shortened."""
    width = min(places, WIDTH)
    before = min(max(place * width // places, 0), width - 1)
    return "·" * before + mark + "·" * (width - 1 - before)
