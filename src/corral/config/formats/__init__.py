"""Foreign files: each module maps one format to the native keys."""
