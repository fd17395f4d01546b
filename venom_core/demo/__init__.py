"""The quickstart's job: a hive on this machine that scans real files, loses a Spore, and loses no file."""
