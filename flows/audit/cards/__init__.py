"""Cards of a model and of its data, made from signed records: to be read, and as Croissant and CycloneDX."""
