"""What a Nexus manages: nodes, and later their code."""
