"""Why this module exists: a device computes for credits only after it has shown, here and now, that its bits are right.

Every vector of exact/1 is computed on the device by the code that training uses there. What fails is refused by name;
nothing falls back to the host.
"""

from __future__ import annotations

from functools import cache

import torch

from protocol.errors import NotReproducible
from verde.numerics.portable.route import route_of


def require_exact(device: torch.device) -> None:
    """Raises ``NotReproducible`` unless ``device`` computes exact/1. Seconds, once per process and device."""
    trouble = _trouble_of(device)
    if trouble:
        raise NotReproducible(f"computing on {device}", trouble)


@cache
def _trouble_of(device: torch.device) -> str:
    from verde.numerics.conformance import conformance
    from verde.numerics.weights import DEVICES

    if device.type not in DEVICES:
        return f"exact/1 computes on {' and '.join(DEVICES)} only"
    route_of(device)
    failures = conformance(device=device)
    return f"{len(failures)} vectors differ there, the first: {failures[0]}" if failures else ""
