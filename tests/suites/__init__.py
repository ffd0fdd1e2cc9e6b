"""Public test suites of decoders, decoded by ours and by two others."""
