"""The KV blocks of one instance: who holds them, what they contain, which one is taken next.

Every block is a number. Block 0 is never handed out. A free block keeps its content key, and can be hit,
until it is taken for something else: eviction is nothing but that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class ContentKeys:
    """Gives equal keys to equal content: a block's key stands for its tokens and all tokens before it.

    A key is a small integer handed out per distinct pair (key of the block before, token ids of this
    block), so unlike a hash it can't collide. 0 is the key in front of a first block.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, tuple[int, ...]], int] = {}

    def chain(self, previous_key: int, token_ids: tuple[int, ...]) -> int:
        """The key of a full block that follows the block with ``previous_key``."""
        return self._numbers.setdefault((previous_key, token_ids), len(self._numbers) + 1)

    def full_blocks(self, token_ids: tuple[int, ...], block_size: int) -> list[int]:
        """The keys of all full blocks of a text, from the first on."""
        keys: list[int] = []
        for end in range(block_size, len(token_ids) + 1, block_size):
            keys.append(self.chain(keys[-1] if keys else 0, token_ids[end - block_size : end]))
        return keys


class BlockPool:
    """All blocks, with their reference counts and content keys.

    Attributes:
        free: blocks nobody references, the one taken next in front.
        references: per block, how many requests hold it.
        key_of: block -> content key, for blocks that carry one.
        copies: content key -> the blocks carrying it, in the order they were published.
    """

    def __init__(self, total_blocks: int, *, keyless_first: bool) -> None:
        self.keyless_first = keyless_first
        self.free: OrderedDict[int, None] = OrderedDict.fromkeys(range(1, total_blocks))
        self.references = [0] * total_blocks
        self.key_of: dict[int, int] = {}
        self.copies: dict[int, dict[int, None]] = {}

    def lookup(self, keys: Sequence[int]) -> list[int]:
        """The longest unbroken run of blocks, from the first key on, that is in the cache."""
        hits = []
        for key in keys:
            if key not in self.copies:
                break
            hits.append(next(iter(self.copies[key])))
        return hits

    def count_idle(self, blocks: Sequence[int]) -> int:
        """How many of these blocks lie in the free list."""
        return sum(self.references[block] == 0 for block in blocks)

    def reference(self, blocks: Sequence[int]) -> None:
        """Hold blocks that were hit; idle ones leave the free list."""
        for block in blocks:
            if self.references[block] == 0:
                del self.free[block]
            self.references[block] += 1

    def take(self, count: int) -> list[int]:
        """Take blocks from the front of the free list; they lose their content keys."""
        taken = [self.free.popitem(last=False)[0] for _ in range(count)]
        for block in taken:
            self._drop_key(block)
            self.references[block] = 1
        return taken

    def publish(self, block: int, key: int) -> None:
        """Let a block be found by its content; an older copy of the same content stays ahead of it."""
        self.key_of[block] = key
        self.copies.setdefault(key, {})[block] = None

    def release(self, blocks: Sequence[int]) -> None:
        """Let go of one request's blocks, from its last to its first."""
        for block in reversed(blocks):
            self.references[block] -= 1
            if self.references[block] == 0:
                self.free[block] = None
                if self.keyless_first and block not in self.key_of:
                    self.free.move_to_end(block, last=False)

    def _drop_key(self, block: int) -> None:
        if block in self.key_of:
            key = self.key_of.pop(block)
            del self.copies[key][block]
            if not self.copies[key]:
                del self.copies[key]
