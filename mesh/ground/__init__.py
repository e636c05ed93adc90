"""The lowest floor: words that every other floor uses. It imports nothing of the project."""
