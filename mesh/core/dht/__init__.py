"""The distributed hash table: each peer's own record of where it is, kept by the peers nearest to its id."""
