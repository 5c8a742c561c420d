"""The hub's service: one place that holds the key to Claude, knows who calls, and meters every call."""
