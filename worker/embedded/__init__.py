"""Stand-ins for the demo and for fast tests: a broker, a picture server, a Redis. Never evidence for a guarantee."""
