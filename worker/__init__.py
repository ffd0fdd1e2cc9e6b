"""The service: upload events in, verdicts out."""
