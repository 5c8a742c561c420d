"""The Jupyter Server extension of a workspace: HTTP, WebSocket, terminal."""
