"""The gateway: Claude's Messages API for workspaces, passed through byte for byte and metered."""
