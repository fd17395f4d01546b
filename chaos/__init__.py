"""A suite with a seed, a history and a verdict: what becomes of tasks when everything around them breaks."""
