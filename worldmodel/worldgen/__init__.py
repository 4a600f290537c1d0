"""WorldGen: a causal latent video model that is driven by layout, rendered prior, ego motion and tags."""
