"""WorldRec: from posed context images to a 3D Gaussian scene, in one forward pass."""
