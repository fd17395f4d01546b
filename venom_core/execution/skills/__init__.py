"""Skills for agents: what a model or a program calls to put the hive to work."""
