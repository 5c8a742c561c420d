"""The person's agents as Claude Code's subagent files in `~/.claude/agents`, kept in step both ways.

What is done, for each agent and its file:

- The agent changed: the file is written. It was deleted: the file is removed.
- The file changed: a new revision. A new file: a new agent, whose id is the slug of the file's `name`. The file was
  removed: the agent is deleted; its runs and revisions stay.
- Both changed (a clash): the agent stays as it is in the store and its file is written; what the file said becomes an
  agent of its own, `ID-2`, with its own file.
- Many files vanished at once, or their folder: a home was lost, nobody deletes that way. They are written again.
- A file that is none (see `folder` and `subagents.parse`) is left as it is, and so is its agent; `problems` has it.

What makes that safe, whatever happens in between:

- A file is replaced or removed only when what it says is in the store as a revision, and only when it is, at that very
  moment, what was read (`folder.Folder.place` looks at what it has replaced, and puts it back).
- The store is written with the revision that the file was last in step with, so it refuses what would hide a change.
- What was last in step is kept in `ledger`. Where that is lost or wrong, only contents count: equal ones are in step,
  others are a clash. So a crash between any two steps costs nothing.

`sync.InStep` decides, `keeper.SubagentFiles` is the task that lets it look, `noticed` tells that task of changes.
"""

from .keeper import SubagentFiles
from .noticed import noticed
from .sync import FileProblem

__all__ = ["FileProblem", "SubagentFiles", "noticed"]
