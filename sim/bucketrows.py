"""Made-up frames in buckets, for tests of what people see of them."""

from collections.abc import Sequence

from mesh.ports.desk import JobRow
from mesh.ports.stills import BucketRow, BucketsAnswer, ShareRow


def bucket_row(
    region: Sequence[int], peer: tuple[str, str] = ("", ""), *, state: str = "counts", ms: int = 0, frame: int = 1
) -> BucketRow:
    """Make one bucket's row; a peer is its id and its name."""
    return BucketRow(
        frame=frame,
        region=list(region),
        bucket=list(region),
        state=state,  # type: ignore[typeddict-item]
        peer=peer[0],
        peer_name=peer[1],
        attempt=1 if peer[0] else 0,
        render_ms=ms,
    )


def answer(
    job: JobRow, buckets: Sequence[BucketRow], *, size: tuple[int, int], frame: int = 1, state: str = "open"
) -> BucketsAnswer:
    """Make what a peer says of a frame in these buckets, which nobody assembles."""
    return BucketsAnswer(
        job=job["id"],
        name=job["name"],
        frame=frame,
        state=state,  # type: ignore[typeddict-item]
        width=size[0],
        height=size[1],
        region=[0, 0, *size],
        assembler="",
        assembler_name="",
        shares=0,
        known=True,
        buckets=list(buckets),
    )


def growing(
    job: JobRow,
    peers: Sequence[tuple[str, str]],
    *,
    size: tuple[int, int] = (1920, 1080),
    side: int = 128,
    done: int = 60,
    running: int = 6,
) -> BucketsAnswer:
    """Make a frame of equal buckets from the top down: some counting, some running, the rest open; peers take turns."""
    width, height = size
    rows: list[BucketRow] = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            region = (left, top, min(width, left + side), min(height, top + side))
            number = len(rows)
            # Of three buckets the first peer makes two, so that shares differ; the farther down, the longer they take.
            peer = peers[0] if number % 3 else peers[number // 3 % len(peers)]
            if number < done:
                rows.append(bucket_row(region, peer, ms=700 + 90 * number))
            elif number < done + running:
                rows.append(bucket_row(region, peer, state="running"))
            else:
                rows.append(bucket_row(region, state="open"))
    return answer(job, rows, size=size)


def shares(told: BucketsAnswer) -> list[ShareRow]:
    """Return who rendered how much of a frame whose buckets do not overlap."""
    found: dict[str, ShareRow] = {}
    for row in told["buckets"]:
        if row["state"] == "counts" and row["peer"]:
            left, top, right, bottom = row["region"]
            one = found.setdefault(
                row["peer"],
                ShareRow(peer=row["peer"], peer_name=row["peer_name"], buckets=0, pixels=0, render_ms=0),
            )
            one["buckets"] += 1
            one["pixels"] += (right - left) * (bottom - top)
            one["render_ms"] += row["render_ms"]
    return list(found.values())


def take_in(job: JobRow, told: BucketsAnswer) -> None:
    """Let a job's row say what a frame's buckets say."""
    job["cells"], job["cells_counting"] = len(told["buckets"]), 0
    job["pixels"] = told["width"] * told["height"] * job["tasks"]
    made = shares(told)
    job["cells_counting"] = sum(one["buckets"] for one in made)
    job["pixels_counting"] = sum(one["pixels"] for one in made)
    took_ms = sum(one["render_ms"] for one in made)
    job["pixel_ns"] = took_ms * 1_000_000 // max(1, job["pixels_counting"])
    job["running"] = sum(row["state"] == "running" for row in told["buckets"])
