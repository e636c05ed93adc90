"""The mesh's decisions, pure: events in, effects out. It knows no clock, no socket, no disk and no thread."""
