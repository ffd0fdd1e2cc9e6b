"""Makes the Grafana dashboard: ``make dashboard`` writes ``../dashboard.json``."""
