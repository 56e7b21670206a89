"""How far blis is from servers that others have measured: `benchmarks/measured`, run and scored."""
