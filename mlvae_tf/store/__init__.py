"""The content store: what is known of every group, kept."""
