"""Where things lie in leased memory. `preprocess.proto` tells it to those who read it."""

from __future__ import annotations

TOKEN_BYTES = 32
"""At the beginning: what the memory is known by."""
TABLE_OFFSET = 4096
SLOTS = 4096
"""Entries of the table of leases, each the number of the lease that has it, in 64 bits; 0: none. Apart from the data,
so that no content can ever look like a number."""
DATA_OFFSET = TABLE_OFFSET + 8 * SLOTS
ALIGNMENT_BYTES = 64
NAME = "lepton-leased"
"""Of the file, as /proc shows it; several may have it."""
