"""What travels and what is signed: pure encoders and decoders. Bytes give a value or a `WireError`, nothing else."""
