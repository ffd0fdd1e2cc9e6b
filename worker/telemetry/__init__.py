"""What SREs see: metrics, logs, health."""
