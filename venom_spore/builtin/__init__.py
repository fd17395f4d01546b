"""Skills that come with the hive: fetch, extract and summarise, files, scan, shell, and the agent skill.

`skill_set.skills` holds them all. Nothing is imported here, so that a Spore with skills of its own loads none of it.
"""
