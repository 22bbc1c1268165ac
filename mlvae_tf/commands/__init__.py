"""The commands: flags to configuration to library calls."""
