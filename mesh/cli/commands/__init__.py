"""One module for each command; its `command` is what `mesh.cli.main` loads when that command is typed."""
