"""Current state in Redis, for reads in a millisecond; always rebuilt from topics, never the only copy."""
