"""What the node asks of the real world: Protocols and their value types, and nothing that does any of it."""
