"""From a channel to a viewer: opening sources, relaying them, and the sessions that result."""
