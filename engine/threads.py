"""How many threads compute one matrix product, and how they wait for each other.

The latter must be said before torch is first imported.
"""

from __future__ import annotations

import os

MOST = 1024
"""Threads that can be asked for: what computers have, and far fewer than systems refuse to start."""
SPINS = "2000"
"""Turns that a thread waits actively at the end of a product, some 10 microseconds.

GNU OpenMP's own 300,000 are best on an idle machine, and a disaster on a busy one: a thread then burns the time slice
that the one it waits for needs. Decoding on two cores, tokens a second, idle / with two other busy processes:
300,000 spins 22 / 2, 8,000 20 / 6, 3,000 18 / 11, none 15 / 14.
"""


def wait_politely() -> None:
    """Spin briefly, then sleep; what the environment already says about it stands."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
