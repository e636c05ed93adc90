"""The adapter of the renderers: everything that starts one, talks to it, watches it and ends it."""
