"""POV-Ray: a program that parses its scene anew for every picture and ends with it.

The half that a node runs (`adapter`, `inspection`, `recipe`, `stages`, ...) and the half that stands beside the program
(`stage` and what it imports), which is plain Python with nothing of `mesh`, so that it starts fast.
"""
