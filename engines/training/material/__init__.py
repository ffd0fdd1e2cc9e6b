"""Pictures that are no photos, drawn for training: pages in a real browser, sheets of drawings, shots of products."""
