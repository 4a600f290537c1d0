"""Where WorldRec and WorldGen meet: what the one makes of a scene as a condition of the other."""
