"""What the model on the cluster says."""

from jupyterhub_agents.testing.replies import Reply, say, use

STEPS = 16
SHIFTS = 40


def step(number: int) -> Reply:
    return use("Bash", {"command": f"echo step {number} | tee -a steps.txt; sleep 0.5"})


def shift(number: int) -> Reply:
    """Work for at most some seconds, or until there is a file `enough`."""
    command = f"for tick in 1 2 3 4 5 6; do test -e enough || sleep 1; echo {number} | tee -a ticks.txt; done"
    return use("Bash", {"command": command})


def tries(command: str) -> list[Reply]:
    return [use("Bash", {"command": command}), say("That was all.")]


SCRIPT = {
    "hello": [say("Hello from the model.")],
    "write a note": [
        say("I write it.") + use("Write", {"file_path": "note.txt", "content": "Kept on the volume.\n"}),
        say("It is written."),
    ],
    "read the note": [use("Bash", {"command": "cat note.txt"}), say("It says what it said.")],
    "take the steps": [*(step(number) for number in range(STEPS)), say("All steps are taken.")],
    "Continue": [use("Bash", {"command": "wc -l < steps.txt"}), say("I am back, and done.")],
    "work until I say": [*(shift(number) for number in range(SHIFTS)), say("All shifts are done.")],
    "loosen the policy": tries(
        "echo '{}' > /etc/claude-code/managed-settings.json; rm -f /etc/claude-code/managed-settings.json;"
        " mkdir -p /etc/claude-code/managed-settings.d; id -u; ls -l /etc/claude-code"
    ),
    "fetch the page": tries("curl --silent http://hub:8081/hub/health"),
}
