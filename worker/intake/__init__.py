"""From a URL to pixels: fetching, guarding addresses, probing and decoding."""
