"""What a part of some values do not exceed: one meaning of p95, p50 and p99 on every page."""

from collections.abc import Sequence


def percentile(values: Sequence[int], percent: int) -> int:
    """Return the value of the nearest rank: at least so many per cent of the values are not above it; 0 without any."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0
