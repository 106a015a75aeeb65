"""Which jobs of a group that Slurm undid as a whole have failed, and which were only undone with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cocoop.planning.cost.groups import group_of
from cocoop.planning.status.states import Seen, State


def sort_out(seen: Sequence[Seen], names: Mapping[str, str]) -> tuple[list[Seen], int]:
    """What was only undone with its group becomes `left`; how many those are.

    names: the profile's `groups`. A job that has no error of its own and went to its end, or was never reached, was undone. A log
    that breaks off is a job that was killed. Where every log of a group looks well, the last one written counts as failed.
    """
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        name = group_of(one.job, names)
        if one.state is State.FAILED and name:
            groups.setdefault(name, []).append(one)
    undone = {one.job for members in groups.values() for one in _undone(members)}
    return [replace(one, state=State.LEFT) if one.job in undone else one for one in seen], len(undone)


def _undone(members: Sequence[Seen]) -> list[Seen]:
    well = [one for one in members if not one.end.error and (one.end.empty or one.end.finished)]
    if len(well) == len(members):
        well.remove(max(well, key=lambda one: (not one.end.empty, one.written)))
    return well
