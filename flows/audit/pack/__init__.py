"""Evidence packs: one archive of all that speaks for a model, which a stranger can check with a public key alone."""
