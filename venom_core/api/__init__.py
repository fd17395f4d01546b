"""What a Nexus serves over HTTP: signed updates, and whatever a control plane adds."""
