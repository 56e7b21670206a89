"""Many runs: which ones, how they are shared out, and the table that they fill."""
