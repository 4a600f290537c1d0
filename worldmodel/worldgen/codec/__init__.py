"""Tokenizers: video to latents and back, causal, the first frame alone and then four frames at a time."""
