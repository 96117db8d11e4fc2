"""
A backup and an alignment for each branch; the program whose runs are exported, and then replayed by later versions.

The tests make those versions by changing lines of this file.  RAN says which bodies ran in this process.
"""

from checkpoint import checkpointed, workflow

RAN = []
BRANCHES = ["login", "search", "billing"]


@checkpointed
def load():
    """Return what all branches need."""
    RAN.append("load")
    return "main"


@checkpointed
def backup(branch):
    """Return the name of the backup."""
    RAN.append(f"backup {branch}")
    return f"backup/{branch}"


@checkpointed
def align(branch, target):
    """Return what became of the branch."""
    RAN.append(f"align {branch}")
    return f"{branch} on {target}"


def main():
    """Align all branches."""
    with workflow("align", key="/home/me/repository") as run:
        run.state.setdefault("done", [])
        target = load()
        for branch in BRANCHES:
            backup(branch)
            run.state["done"].append(align(branch, target))
    return run


if __name__ == "__main__":
    main()
