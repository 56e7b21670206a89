"""Golden runs: figures that a configuration had, kept in a file, and whether it still has them."""
