"""What the papers' cases learn by: Adam, behind a bound on the gradient's norm."""


def adam(rate: str, norm: float = 1.0) -> str:
    """Adam at a rate, or as a schedule says, with gradients of at most a norm."""
    return f"chain(clip_by_global_norm({norm}), adam({rate}))"


def falling(rate: str, updates: int) -> str:
    """A rate that falls to 0 in so many updates."""
    return f"linear_schedule({rate}, 0.0, {updates})"
