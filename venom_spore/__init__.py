"""The worker: claims tasks, runs them, settles their outcome."""
