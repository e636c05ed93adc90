"""What travels and what is signed: pure encoders and decoders. Any bytes give a value or a `WireError`, nothing else."""
