"""Every kind of block that a GGUF file may hold has one value per weight: by the rule, and pinned."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

HALF = np.array([0.0123], np.float16).tobytes()
SMALLER = np.array([0.0071], np.float16).tobytes()

# Bytes of a block, where its scale lies, and its minimum if it has one.
LAYOUTS = {
    "Q4_0": (18, 0, None),
    "Q4_1": (20, 0, 2),
    "Q5_0": (22, 0, None),
    "Q5_1": (24, 0, 2),
    "Q8_0": (34, 0, None),
    "Q2_K": (84, 80, 82),
    "Q3_K": (110, 108, None),
    "Q4_K": (144, 0, 2),
    "Q5_K": (176, 0, 2),
    "Q6_K": (210, 208, None),
    "IQ4_NL": (18, 0, None),
    "IQ4_XS": (136, 0, None),
}
NUM_BLOCKS = 7


def blocks(kind: str) -> np.ndarray:
    """Blocks of arbitrary integers with a scale, and a minimum, that are no powers of two: [NUM_BLOCKS, bytes]."""
    size, scale, minimum = LAYOUTS[kind]
    drawn = hashlib.shake_256(kind.encode()).digest(NUM_BLOCKS * size)
    found = np.frombuffer(drawn, np.uint8).reshape(NUM_BLOCKS, size).copy()
    found[:, scale : scale + 2] = np.frombuffer(HALF, np.uint8)
    if minimum is not None:
        found[:, minimum : minimum + 2] = np.frombuffer(SMALLER, np.uint8)
    return found


def values(kind: str) -> np.ndarray:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    return dequantize(blocks(kind), GGMLQuantizationType[kind])


def by_the_rule_q4_k(block: np.ndarray) -> list[np.float32]:
    scale, minimum = block[:4].view(np.float16).astype(np.float32)
    packed, nibbles = [int(byte) for byte in block[4:16]], block[16:]
    found = []
    for part in range(8):
        if part < 4:
            times, less = packed[part] & 63, packed[part + 4] & 63
        else:
            times = (packed[part + 4] & 15) | (packed[part - 4] >> 6 << 4)
            less = (packed[part + 4] >> 4) | (packed[part] >> 6 << 4)
        step, offset = np.float32(scale * np.float32(times)), np.float32(minimum * np.float32(less))
        for byte in nibbles[32 * (part // 2) : 32 * (part // 2) + 32]:
            number = int(byte) >> 4 if part % 2 else int(byte) & 15
            found.append(np.float32(np.float32(step * np.float32(number)) - offset))
    return found


def by_the_rule_q6_k(block: np.ndarray) -> list[np.float32]:
    low, high, scales = block[:128], block[128:192], block[192:208].view(np.int8)
    scale = block[208:].view(np.float16).astype(np.float32)[0]
    found = []
    for number in range(256):
        half, within = divmod(number, 128)
        quarter, place = divmod(within, 32)
        byte = int(low[64 * half + 32 * (quarter % 2) + place])
        four = byte >> 4 if quarter > 1 else byte & 15
        two = int(high[32 * half + place]) >> 2 * quarter & 3
        step = np.float32(scale * np.float32(scales[number // 16]))
        found.append(np.float32(step * np.float32((four | two << 4) - 32)))
    return found


@pytest.mark.parametrize(("kind", "by_the_rule"), [("Q4_K", by_the_rule_q4_k), ("Q6_K", by_the_rule_q6_k)])
def test_the_usual_kinds_of_blocks_are_computed_step_by_step_in_binary32(kind, by_the_rule):
    expected = np.array([by_the_rule(block) for block in blocks(kind)], np.float32)
    assert values(kind).tobytes() == expected.tobytes()


PINNED = {
    "Q4_0": "b6a3036c256032ec",
    "Q4_1": "c2d4a5447fac5da5",
    "Q5_0": "28fd1ec0f11c18ab",
    "Q5_1": "508705fa7168adb0",
    "Q8_0": "69f1ff713bbd98d6",
    "Q2_K": "84eb0be5ff3847c0",
    "Q3_K": "a2184cf1fb647de8",
    "Q4_K": "0572bae35f3a2f73",
    "Q5_K": "fe37cfc7aba9f5df",
    "Q6_K": "862c845a324e5f71",
    "IQ4_NL": "5fac7359f7cb6378",
    "IQ4_XS": "24fd69ff1f745dad",
}
"""The beginning of the SHA-256 of each kind's values."""


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_kind_of_block_has_the_same_bits_everywhere(kind):
    found = values(kind)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert len(np.unique(found)) > 10
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == PINNED[kind]
