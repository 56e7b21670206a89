import ctypes
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.errors import ConfigError
from blis.latency.blackbox import _step_time_us, blackbox_model
from blis.latency.law import compile_law

# Published for Llama-3.1-8B on two H100 under vLLM 0.8.4.
ALPHA = (1601.350510688092, 3.512476196805965, 1805.5430360826988)
BETA = (6910.420479880494, 17.67057489844186, 2.8377471109943855)


def step_us(law, prefill_tokens=0, num_decodes=0, decode_context_tokens=0):
    return _step_time_us(prefill_tokens, num_decodes, decode_context_tokens, 0, 0, 0, 0, law.parameters)


def compiled(law):
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 7, ctypes.POINTER(ctypes.c_double))
    function = signature(law.compile().address)
    pointer = law.parameters.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    return lambda x, y, c: function(x, y, c, 0, 0, 0, 0, pointer)


def test_steps_worked_out_by_hand():
    law = blackbox_model(ALPHA, BETA)
    assert step_us(law, prefill_tokens=512) == 15957  # 6910.42 + 17.67 * 512
    assert step_us(law, num_decodes=1) == 6913
    assert step_us(law, prefill_tokens=512, num_decodes=1) == 15960


def test_what_the_engine_gets():
    law = blackbox_model(ALPHA, BETA)
    assert law.name == "blackbox"
    assert law.alpha == ALPHA
    assert not law.last_prompt_token_is_decode


def test_context_coefficients():
    law = blackbox_model(ALPHA, (100.0, 1.0, 2.0, 0.5, 1.0))
    assert step_us(law, num_decodes=3, decode_context_tokens=1000) == 100 + 6 + 500
    assert step_us(law, prefill_tokens=10, num_decodes=3, decode_context_tokens=1000) == 100 + 10 + 6 + 500 * 2
    without_growth = blackbox_model(ALPHA, (100.0, 1.0, 2.0, 0.5))
    assert step_us(without_growth, prefill_tokens=10, num_decodes=3, decode_context_tokens=1000) == 616


counts = st.integers(0, 100_000)


@given(counts, counts, st.integers(0, 10**10), st.floats(0.0, 5.0))
def test_three_coefficients_are_the_sum_of_three_terms_truncated_once(x, y, context, growth):
    expected = max(1, int(BETA[0] + BETA[1] * x + BETA[2] * y))
    assert step_us(blackbox_model(ALPHA, BETA), x, y, context) == expected
    assert step_us(blackbox_model(ALPHA, (*BETA, 0.0, growth)), x, y, context) == expected


@given(counts, counts, st.integers(0, 10**9))
def test_compiled_law_is_the_python_one(x, y, context):
    law = blackbox_model(ALPHA, (*BETA, 0.077, 0.97))
    assert compiled(law)(x, y, context) == step_us(law, x, y, context)


def test_a_step_lasts_at_least_one_microsecond():
    law = blackbox_model((0, 0, 0), (0, 0, 0.25))
    assert step_us(law, num_decodes=1) == 1
    assert compiled(law)(0, 1, 0) == 1


@pytest.mark.parametrize(
    ("alpha", "beta", "message"),
    [
        ((1, 2), BETA, r"^alpha_coeffs: must be 3 numbers, got 2$"),
        ((1, 2, 3, 4), BETA, r"^alpha_coeffs: must be 3 numbers, got 4$"),
        (ALPHA, (1, 2), r"^beta_coeffs: must be 3 to 5 numbers, got 2$"),
        (ALPHA, (1,) * 6, r"^beta_coeffs: must be 3 to 5 numbers, got 6$"),
        ((1, -2, 3), BETA, r"^alpha_coeffs\[1\]: must be a number in \[0, 1e\+09\], got -2$"),
        (ALPHA, (1, 2, float("nan")), r"^beta_coeffs\[2\]: must be a number in \[0, 1e\+09\], got nan$"),
        (ALPHA, (float("inf"), 2, 3), r"^beta_coeffs\[0\]: must be a number in \[0, 1e\+09\], got inf$"),
    ],
)
def test_bad_coefficients(alpha, beta, message):
    with pytest.raises(ConfigError, match=message):
        blackbox_model(alpha, beta)


def test_a_law_is_compiled_even_where_it_cannot_be_cached():
    names = {}
    source = "def law(a, b, c, d, e, f, g, p):\n    return a + int(p[0])\n"
    exec(compile(source, "<nowhere>", "exec"), names)  # nobody knows when there is a newer one
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 7, ctypes.POINTER(ctypes.c_double))
    function = signature((law := compile_law(names["law"])).address)
    parameters = np.array([40.0])
    assert function(2, 0, 0, 0, 0, 0, 0, parameters.ctypes.data_as(ctypes.POINTER(ctypes.c_double))) == 42
    assert not law.is_stored


def test_making_a_model_does_not_load_numba():
    program = (
        "import sys; from blis.latency.blackbox import blackbox_model; import blis.config.resolve;"
        "blackbox_model((0, 0, 0), (1, 2, 3)); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
