"""Kafka in and out: consumer loop, ledger of offsets in flight, publisher, dead letters, topics."""
