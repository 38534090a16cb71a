"""Which runs are graded: a fixed share, chosen by the run's id alone."""

from hashlib import blake2b


def sampled(run_id: str, share: float) -> bool:
    """Whether a run is in the sample; a larger share holds every run of a smaller one."""
    place = int.from_bytes(blake2b(run_id.encode("utf-8", "replace"), digest_size=8).digest()) / 2**64
    return place < share
