# SPDX-License-Identifier: MIT
"""Ledgers with other contents; their bytes are those of src/cleanroom/ledger/README.md."""

import struct

SLOT = 128


def crc32c(data, seed=0):
    crc = seed ^ 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def other_boot(header):
    """As after a reboot."""
    header[40:56] = bytes(byte ^ 0xff for byte in header[40:56])


def rewrite(path, change_header=None, change_record=None):
    """A ledger with other contents, and good checksums: a record's begin with the header's."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    header = bytearray(data[:SLOT])
    if change_header:
        change_header(header)
    header[SLOT - 4:] = struct.pack("<I", crc32c(bytes(header[:SLOT - 4])))
    data[:SLOT] = header
    seed = struct.unpack("<I", header[SLOT - 4:])[0]
    for at in range(SLOT, len(data), SLOT):
        record = data[at:at + SLOT]
        if record[:4] == b"\0\0\0\0":
            break
        if change_record:
            change_record(record)
        crc = crc32c(bytes(record[4:]), seed) or 1
        record[:4] = struct.pack("<I", crc)
        data[at:at + SLOT] = record
    with open(path, "wb") as file:
        file.write(data)
