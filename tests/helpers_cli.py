"""What the tests of the command line run."""

LLAMA = ("--model", "meta-llama/llama-3.1-8b-instruct")
#: Round coefficients, so that times can be told by hand.
ROUND = ("--model", "m", "--alpha-coeffs", "100,1,10", "--beta-coeffs", "1000,10,1", "--total-kv-blocks", "1000")
