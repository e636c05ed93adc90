"""The shell around the core: it performs what the core asks, and tells it what came of it. It talks to ports only."""
