"""One module per kind of dataset SPEC."""
