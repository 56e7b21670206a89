"""YAML as data: no key twice, no value that its tag cannot have, and nothing that grows without bounds."""

from __future__ import annotations

import functools
from typing import Any

#: Values of a file with all that its aliases stand for; a few lines of aliases of aliases could mean any number.
MOST_VALUES = 5_000_000


def parse_yaml(text: str) -> Any:
    """The value that a YAML text stands for.

    Raises:
        yaml.YAMLError: it stands for none; mostly a `yaml.MarkedYAMLError` that says where.
    """
    import yaml

    try:
        return yaml.load(text, Loader=_loader())  # a safe loader's subclass
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


@functools.cache
def _loader() -> Any:
    """The safe loader, C-coded where PyYAML has it, made strict."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class StrictLoader(base):  # type: ignore[misc]  # the base is chosen at run time
        def get_single_node(self) -> Any:
            node = super().get_single_node()
            if node is not None:
                _count_values(node, {})
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError):  # PyYAML lets them through
                kind = node.tag.rpartition(":")[2]
                problem = f"{str(node.value)[:40]!r} is no {kind}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            if not isinstance(node, yaml.MappingNode):
                raise yaml.MarkedYAMLError(problem="no mapping", problem_mark=node.start_mark)
            seen = set()
            for key_node, _ in node.value:
                if not isinstance(key_node, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key must be a plain value", problem_mark=key_node.start_mark)
                if key_node.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key given twice: {key_node.value}", problem_mark=key_node.start_mark
                    )
                seen.add(key_node.value)
            return super().construct_mapping(node, deep)

    return StrictLoader


def _count_values(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for, those behind its aliases included; ``known`` holds nodes counted before.

    Raises:
        yaml.MarkedYAMLError: too many, or it stands for itself.
    """
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise yaml.MarkedYAMLError(problem="an alias of what it stands in", problem_mark=node.start_mark)
        return known[id(node)]
    known[id(node)] = 0  # as long as it is not done
    parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    count = 1 + sum(_count_values(part, known) for part in parts)
    if count > MOST_VALUES:
        raise yaml.MarkedYAMLError(
            problem=f"more than {MOST_VALUES} values, with those behind aliases", problem_mark=node.start_mark
        )
    known[id(node)] = count
    return count
