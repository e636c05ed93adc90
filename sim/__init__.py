"""The simulator: the real core in a world that is drawn from one seed, and the fakes that other tests use."""
