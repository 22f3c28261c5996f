"""The steps of the notebook, each a short module; each builds on those above it."""
