"""The launcher: supervises one Spore, switches its releases and goes back by itself. Standard library only.

No release can break it: it runs from the environment that was installed by hand and imports nothing that a release
could bring.
"""
