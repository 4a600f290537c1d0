"""The `synthetic` data source: a procedural street world, rendered by ray casting, that needs no download."""
