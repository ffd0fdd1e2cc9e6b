"""What other teams rely on: events, verdicts, their CloudEvents mapping and JSON Schemas. Changes only add."""
