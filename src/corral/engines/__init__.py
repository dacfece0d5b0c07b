"""Programs that corral ships and launches as children. Nothing imports this package; it imports nothing of corral's."""
