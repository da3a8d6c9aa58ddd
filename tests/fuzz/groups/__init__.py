"""What is damaged: trees that other programs wrote, and how a command reads each of them."""

from tests.fuzz.group import Group
from tests.fuzz.groups import formats, human_video, lerobot, models, own, rlds, robots_and_people

GROUPS: dict[str, Group] = {
    name: group
    for family in (rlds, lerobot, robots_and_people, formats, models, own, human_video)
    for name, group in family.GROUPS.items()
}
"""By name, which is half of what makes an input: renamed, its seeds would stand for other damage."""
