"""Any RLDS dataset that has no file here, by a mapping: a YAML that says which feature is what.

`villa sources --propose ROOT` makes one from features.json; docs/sources.md tells what it may say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine import catalog
from dataengine.digest import stable_id
from dataengine.episode import Encoding, Part
from dataengine.errors import MissingMappingError, RecordError, SourceError
from dataengine.formats import features, rlds
from dataengine.raw import untouched
from dataengine.sources.openx import _mapping, _proposal
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, lookup
from dataengine.sources.openx._texts import Said
from dataengine.vector_layout import VectorLayout, join_names, note_key


@dataclass(frozen=True, kw_only=True)
class Auto(RldsSource):
    """What the mapping says; each mapping is a dataset of its own, `openx/<its name>`."""

    mapping: Annotated[str, "YAML that says which feature is what; without it a proposal is printed."] = ""
    keep_failures: Annotated[bool, "Keep episodes that the mapping's success rule leaves out."] = False
    rules: _mapping.Mapping | None = field(init=False, repr=False, default=None)

    name: ClassVar[str] = "openx/auto"
    file_options: ClassVar[tuple[str, ...]] = ("mapping",)
    """Options that name files: what is in them, not where they lie, is part of the fingerprints."""
    embodiment: ClassVar[str] = "by mapping"
    control_hz: ClassVar[float] = 0.0
    layout: ClassVar[str] = "RLDS with a mapping (--mapping FILE)"
    licence: ClassVar[str] = "by mapping"
    cameras: ClassVar[Mapping[str, str]] = {}
    keys: ClassVar[Mapping[str, int]] = {}

    def __post_init__(self) -> None:
        """Read the mapping here and once: workers get it with the source, wherever they run."""
        if not self.mapping:
            return
        rules = _mapping.load(self.mapping)
        if f"openx/{rules.name}" in catalog.source_names():
            raise SourceError(
                f"mapping {self.mapping}: openx/{rules.name} has a source of its own; use that, or choose another name"
            )
        # What other sources say of their class is said here of each object.
        vars(self).update(
            rules=rules,
            name=f"openx/{rules.name}",
            embodiment=rules.embodiment,
            control_hz=rules.control_hz,
            licence=rules.licence,
            cameras={slot: camera.key.removeprefix("observation/") for slot, camera in rules.cameras.items()},
            bgr=frozenset(slot for slot, camera in rules.cameras.items() if camera.bgr),
            keys={item.key: 0 for item in rules.action},
        )

    def proposal(self) -> str:
        """Write a first mapping, guessed from features.json."""
        return _proposal.propose(self.root)

    def parts(self) -> list[Part]:
        """List the shards; raise MissingMappingError with a proposal when there is no mapping yet."""
        if self.rules is None:
            raise MissingMappingError(
                f"{self.root}: openx/auto needs a mapping; save the proposal on stdout "
                f"(or villa sources --propose {self.root} --out mapping.yaml), finish it, add --mapping mapping.yaml",
                draft=self.proposal(),
            )
        return [replace(part, fingerprint=self._with_mapping(part.fingerprint)) for part in super().parts()]

    def fingerprint(self, part: Part) -> str:
        """Look at a part's shard as it is now; the mapping stays what it was."""
        return self._with_mapping(super().fingerprint(part))

    def _with_mapping(self, fingerprint: str) -> str:
        return stable_id(fingerprint, stable_id(self._rules().model_dump_json()))

    def convert(self, steps: Steps) -> Motion:
        """Put side by side what the mapping names."""
        rules = self._rules()
        first = rules.first_step
        state, action = (
            [item.take(lookup(steps, item.key))[first:] for item in items] for items in (rules.state, rules.action)
        )
        raw_state = [lookup(steps, key)[first:] for key in rules.raw_state_keys]
        return Motion(
            state=columns(*state) if state else None,
            action=columns(*action),
            raw_state=untouched(*raw_state) if raw_state else None,
            raw_action=untouched(*(lookup(steps, key)[first:] for key in rules.raw_action_keys)),
            state_encoding=rules.state_encoding,
            action_encoding=rules.action_encoding,
            first_step=first,
            notes={
                **_layout("state", rules.state_encoding, rules.state, state),
                **_layout("action", rules.action_encoding, rules.action, action),
            },
        )

    def leave_out(self, record: Mapping[str, Any]) -> str | None:
        """Leave out failures by the mapping's success rule."""
        return None if self.keep_failures else self._failure(record)

    def succeeded(self, record: Mapping[str, Any]) -> bool | None:
        """Apply the mapping's success rule."""
        return None if self._rules().success is None else self._failure(record) is None

    def _failure(self, record: Mapping[str, Any]) -> str | None:
        """Say why the mapping's success rule calls an attempt failed, or return None."""
        rule = self._rules().success
        if rule is None:
            return None
        outcome = _lookup_or_beside(record, rule.key)
        if rule.contains is not None:
            text = outcome if isinstance(outcome, str) else str(outcome[-1])
            return (
                None if rule.contains.lower() in text.lower() else f"{rule.key} lacks '{rule.contains}': {text!r:.80}"
            )
        value = float(np.ravel(outcome)[-1])
        return None if value >= (rule.at_least or 0.0) else f"{rule.key} is {value:g}, a success has {rule.at_least:g}"

    def spoken(self, record: Mapping[str, Any]) -> tuple[list[Any], list[Said]]:
        """Tell what the features that the mapping names say, beside the steps or at each of them."""
        whole: list[Any] = []
        at_steps: list[Said] = []
        for key in self._rules().instruction:
            try:
                at_steps.append(lookup(record["steps"], key))
            except RecordError:
                whole.append(lookup(record, key))
        return whole, at_steps

    def _schema(self) -> features.FeaturesDict:
        schema = rlds.schema(self.root)
        _mapping.check(self._rules(), schema, f"mapping {self.mapping}")
        return schema

    def _rules(self) -> _mapping.Mapping:
        assert self.rules is not None, "parts() comes first"
        return self.rules


def _layout(
    column: str, encoding: Encoding, items: Sequence[_mapping.MappedColumns], taken: Sequence[NDArray]
) -> dict[str, str]:
    """Note where the conversions put grippers, and the names that the mapping gives; others stay the layout's."""
    widths = [int(np.prod(values.shape[1:])) for values in taken]
    offsets = np.cumsum([0, *widths])
    grippers = ",".join(
        str(offset) for offset, item in zip(offsets, items, strict=False) if item.convert.startswith("gripper")
    )
    notes = {note_key(column): grippers}
    if any(item.names for item in items):
        usual = VectorLayout.of(encoding, sum(widths), grippers=grippers).names
        names = [
            item.names or usual[offset : offset + width]
            for offset, width, item in zip(offsets, widths, items, strict=False)
        ]
        notes[note_key(column, "names")] = join_names([name for some in names for name in some])
    return notes


def _lookup_or_beside(record: Mapping[str, Any], key: str) -> Any:
    """Find a key below `steps`, or else beside them."""
    try:
        return lookup(record["steps"], key)
    except RecordError:
        return lookup(record, key)
