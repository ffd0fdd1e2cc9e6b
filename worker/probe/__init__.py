"""Known pictures through the whole path, and what only the fleet as a whole knows."""
