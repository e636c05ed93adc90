"""The developer's tools: scripts that run from a checkout and are no part of the installed program."""
