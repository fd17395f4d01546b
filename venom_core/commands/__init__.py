"""The commands of `venom`, by what they are about. They parse and print."""
