"""Remember which renderer was proven to work here, by the identity of its binary.

A proof costs seconds; a node's start shall cost nothing. Failed proofs are not remembered, since the remedy may have
been applied meanwhile.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_PROOFS_FILE = "engines.json"
_PROOF_FORMAT = 1


def proven_at_ms(cache: Path) -> dict[str, int]:
    """Return when each program was proven last, in milliseconds since 1970, as far as that is remembered."""
    proofs = remembered(cache)
    dated = {program: proof.get("at_ms") for program, proof in proofs.items() if isinstance(proof, dict)}
    return {program: at_ms for program, at_ms in dated.items() if isinstance(at_ms, int)}


def remembered(cache: Path) -> dict[str, object]:
    """Read the proofs; a file that is absent or damaged only means proving again."""
    try:
        document = json.loads((cache / _PROOFS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict) or document.get("format") != _PROOF_FORMAT:
        return {}
    proofs = document.get("proofs")
    return proofs if isinstance(proofs, dict) else {}


def remember(cache: Path, program: str, proof: Mapping[str, object]) -> None:
    """Write a proof beside the others; peers that start together may each prove once, which harms nobody.

    A cache that cannot be written (it may be shared, and read-only) only means proving again next time.
    """
    document = {"format": _PROOF_FORMAT, "proofs": {**remembered(cache), program: proof}}
    temporary = cache / f".{_PROOFS_FILE}.{os.getpid()}"
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
            temporary.replace(cache / _PROOFS_FILE)
        finally:
            temporary.unlink(missing_ok=True)
