"""What a person types and sees: commands that are clients of a running peer, and the one that runs it."""
