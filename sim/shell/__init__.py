"""Tier B: the real shell of many peers on a virtual clock, in one process, with everything behind the ports simulated."""
