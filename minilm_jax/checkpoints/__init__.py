"""Model files: sources, cache, formats, and the settings in a model folder."""
