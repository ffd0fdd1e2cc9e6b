"""Networks as torch modules: for training and export, never for serving."""
