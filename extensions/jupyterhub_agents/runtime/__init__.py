"""Runs agents with the real Claude Code CLI, through claude-agent-sdk, which only this package imports."""
