"""Stock parts, written exactly as a stranger's plugin would be."""
