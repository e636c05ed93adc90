"""The peer's own disk: blobs, journal, keys and home directory. It imports ports, wire and ground only."""
