"""The one-shot updater of a Spore: look, verify, stage. It never switches and never restarts anything."""
