"""The training loop that WorldRec and WorldGen share: resumable, deterministic, told apart by seed and step."""
