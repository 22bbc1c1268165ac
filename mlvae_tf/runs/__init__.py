"""The application: what the commands do in the folder of a run."""
