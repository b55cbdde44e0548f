"""The footer: a CRC-32 of all bytes before it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from isal.isal_zlib import crc32

from aprhub.api import EnvironmentFailureError, Fault
from aprhub_apr.container import scanned
from aprhub_apr.tables import FOOTER_BYTES

_PIECE_BYTES: Final = 1 << 23


def footer_faults(path: Path) -> Sequence[Fault]:
    """Return a fault when the footer contradicts the file's bytes.

    Reads the whole file. A file without a footer has no fault: some writers store
    none, which `open` notes. Raises what `open` raises for a broken file.
    """
    container = scanned(path)
    if not container.has_footer:
        return ()
    try:
        computed, stored = _compared(path, container.required_size)
    except OSError as error:
        raise EnvironmentFailureError(f"{path}: {error.strerror}") from error
    if computed == stored:
        return ()
    return (
        Fault(
            f"{path}: footer at byte {container.required_size}",
            f"the checksum is {stored:#010x}, the bytes before it give"
            f" {computed:#010x}",
            "the file was damaged or changed; get it again from where it came",
        ),
    )


def _compared(path: Path, end: int) -> tuple[int, int]:
    """Return the checksum of the first `end` bytes, and the one stored there."""
    checksum, left = 0, end
    piece = memoryview(bytearray(min(_PIECE_BYTES, end)))
    with path.open("rb", buffering=0) as file:
        while left:
            count = file.readinto(piece[:left])
            if not count:
                break
            checksum = crc32(piece[:count], checksum)
            left -= count
        return checksum, int.from_bytes(file.read(FOOTER_BYTES), "little")
