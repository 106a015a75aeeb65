"""Distinguishes jobs that failed from jobs whose outputs Snakemake deleted because another job of their group failed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cocoop.planning.cost.groups import group_of
from cocoop.planning.status.states import Seen, State


def sort_out(seen: Sequence[Seen], names: Mapping[str, str]) -> tuple[list[Seen], int]:
    """Changes the state of jobs that were undone because of their group to `left`, and counts them.

    names: the profile's `groups`.
    A job was undone if its log has no error and shows that it finished, or if it never started. A job whose log ends in the
    middle was killed. If no log of a group shows a failure, the job with the last written log counts as failed.
    """
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        name = group_of(one.job, names)
        if one.state is State.FAILED and name:
            groups.setdefault(name, []).append(one)
    undone = {one.job for members in groups.values() for one in _undone(members)}
    return [replace(one, state=State.LEFT) if one.job in undone else one for one in seen], len(undone)


def _undone(members: Sequence[Seen]) -> list[Seen]:
    good = [one for one in members if not one.end.error and (one.end.empty or one.end.finished)]
    if len(good) == len(members):
        good.remove(max(good, key=lambda one: (not one.end.empty, one.written)))
    return good
