"""Random names."""

from __future__ import annotations

import re

from notify.domain.entropy import BLOCK, Entropy


def test_no_byte_is_handed_out_twice():
    entropy = Entropy()
    blocks = [entropy.take(96) for _ in range(10 * BLOCK // 96)]
    assert all(len(block) == 96 for block in blocks)
    assert len(set(blocks)) == len(blocks)


def test_names_fit_into_urls_and_differ():
    entropy = Entropy()
    names = {entropy.name(18) for _ in range(2000)}
    assert len(names) == 2000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{24}", name) for name in names)
