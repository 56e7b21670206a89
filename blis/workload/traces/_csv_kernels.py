"""Kernels of `blis.workload.traces.csv`: rows and fields by RFC 4180, and token lists straight from the bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis.workload._jit import kernel

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

OK = 0
#: The buffer ends before the row does.
INCOMPLETE = 1
#: A quote inside an unquoted field, or text behind a closing quote.
BAD_QUOTE = 2
BAD_FIELD_COUNT = 3
#: No more room for rows.
FULL = 4
#: Not a JSON list of integers.
NOT_A_LIST = 5
OUT_OF_RANGE = 6
EMPTY_PROMPT = 7

#: Columns of the five that are looked at.
PROMPT, OUTPUT = 3, 4
MAX_TOKEN_ID = 2**31 - 1

_QUOTE, _COMMA, _NEWLINE, _RETURN = ord('"'), ord(","), ord("\n"), ord("\r")
_OPEN, _CLOSE, _ZERO, _NINE = ord("["), ord("]"), ord("0"), ord("9")
_SPACE, _TAB = ord(" "), ord("\t")


@kernel
def split_row(buffer: Bytes, at: int, size: int, bounds: Ints) -> tuple[int, int, int, int]:
    """Find the fields of the row that starts at ``at``.

    Args:
        buffer: the text.
        at: where the row starts.
        size: bytes of text in the buffer; the last row must end with a newline.
        bounds: (2 k,) gets start and end of the first k fields, without their quotes.

    Returns:
        Where the next row starts, number of fields, number of lines, OK or what is wrong.
    """
    fields = 0
    lines = 1
    while True:
        start = at
        if at < size and buffer[at] == _QUOTE:
            start = at + 1
            end = start
            while end < size and (buffer[end] != _QUOTE or (end + 1 < size and buffer[end + 1] == _QUOTE)):
                lines += buffer[end] == _NEWLINE
                end += 1 + (buffer[end] == _QUOTE)
            at = end + 1
            if at < size and buffer[at] == _RETURN:
                at += 1
        else:
            while at < size and buffer[at] != _COMMA and buffer[at] != _NEWLINE:
                if buffer[at] == _QUOTE:
                    return at, fields, lines, BAD_QUOTE
                at += 1
            end = at
            if end > start and buffer[end - 1] == _RETURN:
                end -= 1
        if at >= size:
            return at, fields, lines, INCOMPLETE
        if 2 * fields < len(bounds):
            bounds[2 * fields] = start
            bounds[2 * fields + 1] = end
        fields += 1
        if buffer[at] == _NEWLINE:
            return at + 1, fields, lines, OK
        if buffer[at] != _COMMA:
            return at, fields, lines, BAD_QUOTE
        at += 1


@kernel
def split_rows(
    buffer: Bytes, at: int, size: int, num_fields: int, line: int, bounds: NDArray[np.int64], row_lines: Ints
) -> tuple[int, int, int, int, int, int]:
    """Find the rows from ``at`` on; empty lines are none.

    Args:
        buffer: the text.
        at: where the first row starts.
        size: bytes of text in the buffer.
        num_fields: fields every row must have; 0: as many as the first row, which is then the header.
        line: number of the line at ``at``.
        bounds: (rows, 2 k) gets start and end of the first k fields of each row.
        row_lines: (rows,) gets the line on which each row starts.

    Returns:
        Number of rows and of the header's fields; then, of the row that was not taken any more: where it starts,
        its line, its number of fields, and why (INCOMPLETE, FULL, BAD_QUOTE or BAD_FIELD_COUNT).
    """
    rows = 0
    while rows < len(bounds):
        behind, fields, lines, status = split_row(buffer, at, size, bounds[rows])
        if status != OK:
            return rows, num_fields, at, line, fields, status
        is_blank = fields == 1 and bounds[rows, 0] == bounds[rows, 1]
        if not is_blank and num_fields == 0:
            num_fields = fields
        elif not is_blank:
            if fields != num_fields:
                return rows, num_fields, at, line, fields, BAD_FIELD_COUNT
            row_lines[rows] = line
            rows += 1
        at = behind
        line += lines
    return rows, num_fields, at, line, num_fields, FULL


@kernel
def skip_space(buffer: Bytes, at: int, end: int) -> int:
    """The first byte from ``at`` on that is no white space of JSON."""
    while at < end and (buffer[at] == _SPACE or buffer[at] == _TAB or buffer[at] == _NEWLINE or buffer[at] == _RETURN):
        at += 1
    return at


@kernel
def parse_list(buffer: Bytes, at: int, end: int, tokens: NDArray[np.int32], count: int) -> tuple[int, int, int]:
    """Append the integers of the JSON list in ``buffer[at:end]`` to the first ``count`` tokens.

    Returns:
        The new count, where reading stopped, and OK, NOT_A_LIST or OUT_OF_RANGE.
    """
    at = skip_space(buffer, at, end)
    if end - at >= 4 and buffer[at] == ord("n") and buffer[at + 1] == ord("u"):
        is_null = buffer[at + 2] == ord("l") and buffer[at + 3] == ord("l")
        rest = skip_space(buffer, at + 4, end)
        return count, at, OK if is_null and rest == end else NOT_A_LIST
    if at >= end or buffer[at] != _OPEN:
        return count, at, NOT_A_LIST
    at = skip_space(buffer, at + 1, end)
    is_open = at >= end or buffer[at] != _CLOSE
    while is_open:
        start = at
        value = np.int64(0)
        while at < end and _ZERO <= buffer[at] <= _NINE:
            value = value * 10 + (np.int64(buffer[at]) - _ZERO)
            at += 1
            if value > MAX_TOKEN_ID:
                return count, start, OUT_OF_RANGE
        if at == start:
            is_negative = at + 1 < end and buffer[at] == ord("-") and _ZERO <= buffer[at + 1] <= _NINE
            return count, start, OUT_OF_RANGE if is_negative else NOT_A_LIST
        if at - start > 1 and buffer[start] == _ZERO:
            return count, start, NOT_A_LIST
        tokens[count] = value
        count += 1
        at = skip_space(buffer, at, end)
        if at >= end or (buffer[at] != _COMMA and buffer[at] != _CLOSE):
            return count, start, NOT_A_LIST
        is_open = buffer[at] == _COMMA
        if is_open:
            at = skip_space(buffer, at + 1, end)
    rest = skip_space(buffer, at + 1, end)
    return count, rest, OK if rest == end else NOT_A_LIST


@kernel
def parse_rows(
    buffer: Bytes,
    bounds: NDArray[np.int64],
    keep: NDArray[np.bool_],
    tokens: NDArray[np.int32],
    count: int,
    prompt_lengths: Ints,
    output_lengths: Ints,
) -> tuple[int, int, int, int, int]:
    """Append prompts and outputs of rows to the first ``count`` tokens; of rows not kept they are only checked.

    Returns:
        The new count; number of rows that are right; and, of the next one, the column, place and kind of error.
    """
    for row in range(len(bounds)):
        middle, at, status = parse_list(buffer, bounds[row, 2 * PROMPT], bounds[row, 2 * PROMPT + 1], tokens, count)
        if status == OK and middle == count:
            status = EMPTY_PROMPT
        if status != OK:
            return count, row, PROMPT, at, status
        end, at, status = parse_list(buffer, bounds[row, 2 * OUTPUT], bounds[row, 2 * OUTPUT + 1], tokens, middle)
        if status != OK:
            return count, row, OUTPUT, at, status
        prompt_lengths[row] = middle - count
        output_lengths[row] = end - middle
        if keep[row]:
            count = end
    return count, len(bounds), 0, 0, OK
