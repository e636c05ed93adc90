"""Tier B: the real shell of many peers on a virtual clock, all behind its ports simulated."""
