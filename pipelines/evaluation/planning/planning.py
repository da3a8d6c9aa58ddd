"""`villa eval planning`: are plans of latent actions like what happened, also where training never was?

The latent expert plans from one picture and an instruction (villa-X, arXiv:2507.23682, section 4.3 and appendix E), so
any embodiment may be asked about. The paper shows pictures; here plans are held against recordings: as vectors, as
nearest codes, and as pictures that the decoder of their latent action model predicts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataengine import progress, texts
from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError
from dataengine.formats.resize import resize
from dataengine.spread import spread
from dataengine.windows.window import EpisodeReader
from models.fingerprint import fingerprint
from pipelines.evaluation.held_out import held_out_by
from pipelines.evaluation.plan import NO_STATE, latent_info, load_lam_of
from pipelines.evaluation.planning import measures
from pipelines.evaluation.planning.config import PlanningConfig
from pipelines.evaluation.planning.examples import sheet
from pipelines.evaluation.planning.page import write_page
from pipelines.evaluation.planning.report import PlanGroup, PlanningReport, Wording
from pipelines.evaluation.planning.starts import Start, StartGroup, choose_groups, read_starts
from pipelines.evaluation.simulators._base import Observation
from pipelines.output.folder import OutputFolder, claimed, sources_at
from pipelines.output.kept import KeptPieces

if TYPE_CHECKING:
    from models.lam import Lam
    from pipelines.evaluation.policy import ActPolicy

Plans = NDArray[np.float32]
"""(b, n, k, d)"""


def run(config: PlanningConfig) -> PlanningReport:
    """Plan from every start and measure."""
    from pipelines.evaluation.policy import ActPolicy
    from pipelines.training.act.stated import stated
    from pipelines.training.data import open_reader

    policy, reader = ActPolicy.load(config.policy, config.device), open_reader(config.corpus)
    if not policy.model.config.denoises_plan:
        raise DataEngineError(
            f"{config.policy}: has no latent expert that plans; train one with use_latent=true and planner=flow"
        )
    lam = load_lam_of(policy, config.policy, config.lam)
    interval_s = latent_info(policy, lam).interval_s
    held_out = held_out_by(stated(config.policy)[1], config.val_fraction)
    groups = choose_groups(config, reader, policy, interval_s, held_out)
    _check_texts(config, policy, groups)
    with claimed(config.out, "eval planning", sources=sources_at(config.corpus)) as out:
        out.claim("planning.json", "index.html")
        measured = _measured(config, Planner(policy, lam, config.batch), reader, groups, out)
        if not measured:
            raise DataEngineError(f"{config.corpus}: no picture at which a plan would begin can be decoded")
        report = PlanningReport(
            policy=config.policy,
            corpus=config.corpus,
            lam=config.lam,
            interval_s=interval_s,
            num_latents=policy.model.config.num_latents,
            groups=measured,
            out=str(config.out),
            page=str(config.out / "index.html"),
        )
        write_page(out, report)
        out.write("planning.json", report.model_dump_json(indent=1))
    return report


def _measured(
    config: PlanningConfig, planner: "Planner", reader: EpisodeReader, groups: Sequence[StartGroup], out: OutputFolder
) -> list[PlanGroup]:
    """Measure the groups that were not measured before; those in which no picture is readable are left out."""
    pieces = KeptPieces(out, PlanGroup)
    digests = {str(i): _made_of(config, reader, group) for i, group in enumerate(groups)}
    kept = pieces.resume(digests, lambda one: [one.examples] if one.examples else [], "examples-*.png")
    with progress.task("plan", len(groups), "groups", done=len(kept)) as live:
        for (name, digest), group in zip(digests.items(), groups, strict=True):
            if name not in kept:
                if one := _measure(config, planner, reader, group, out, f"examples-{name}.png"):
                    kept[name] = one
                    pieces.keep(name, digest, one)
                live.advance(1, note=f"{group.embodiment} in {group.dataset}")
    return [kept[name] for name in digests if name in kept]


def _made_of(config: PlanningConfig, reader: EpisodeReader, group: StartGroup) -> str:
    """Hash all that the figures of a group follow from."""
    facts = config.model_dump(mode="json", include={"rewordings", "batch", "examples", "seed"})
    facts |= {"policy": fingerprint(config.policy), "lam": fingerprint(config.lam), "data": reader.identity.fingerprint}
    facts |= {key: getattr(group, key) for key in ("dataset", "embodiment", "kind", "status")}
    facts["starts"] = [(episode.episode_id, step) for episode, step in group.chosen]
    return hex_digest(json.dumps(facts, sort_keys=True))


def _check_texts(config: PlanningConfig, policy: "ActPolicy", groups: Sequence[StartGroup]) -> None:
    """Raise DataEngineError for new words that no start has use for, or that a policy cannot read."""
    known = {texts.said_at(episode.texts, step) for group in groups for episode, step in group.chosen}
    most = policy.model.config.vlm.text_length
    for old, new in config.rewordings.items():
        if old not in known:
            raise DataEngineError(f"rewordings: no start has the words '{old}'; there are: {'; '.join(sorted(known))}")
        if (count := policy.tokenizer.num_tokens(new)) > most:
            raise DataEngineError(f"rewordings: '{new}' has {count} tokens, the policy reads {most}; say it in fewer")


def _measure(
    config: PlanningConfig,
    planner: "Planner",
    reader: EpisodeReader,
    group: StartGroup,
    out: OutputFolder,
    picture: str,
) -> PlanGroup | None:
    """Plan from the starts of a group, with the words of the recording and with others; None where none is readable."""
    lam, policy = planner.lam, planner.policy
    starts = read_starts(reader, lam, group.chosen, latent_info(policy, lam), policy.model.config.num_latents)
    if not starts:
        return None
    random = np.random.default_rng(config.seed)
    plans = planner.plan(starts, [start.instruction for start in starts])
    others = measures.elsewhere(starts, random)
    texts_of = _other_texts(config, starts)
    reworded = {kind: planner.plan([starts[i] for i in said], [*said.values()]) for kind, said in texts_of.items()}
    if config.examples:
        with_others = [(said, reworded[kind]) for kind, said in texts_of.items()]
        rows = [
            row
            for i in spread(len(starts), config.examples)
            for row in _example(planner, i, starts[i], plans[i], with_others)
        ]
        sheet(rows).save(out.path(picture))
    return PlanGroup(
        dataset=group.dataset,
        embodiment=group.embodiment,
        kind=group.kind,
        status=group.status,
        episodes=len({start.episode.episode_id for start in starts}),
        starts=len(starts),
        unreadable=len(group.chosen) - len(starts),
        **_agreement(planner, starts, plans, others, random),
        codes_commonest=round(measures.commonest(starts), 4),
        **_approaches(planner, starts, plans, others),
        wordings=[
            _wording(planner, kind, [starts[i] for i in said], plans[[*said]], reworded[kind])
            for kind, said in texts_of.items()
        ],
        examples=picture if config.examples else "",
    )


@dataclass(frozen=True)
class Planner:
    """A policy and the latent action model of its plans."""

    policy: "ActPolicy"
    lam: "Lam"
    batch: int

    def plan(self, starts: Sequence[Start], instructions: Sequence[str]) -> Plans:
        """Plan from what is seen at starts, with some words."""
        plans = []
        for first in range(0, len(starts), self.batch):
            seen = [
                Observation(image=start.frames[0], raw_state=NO_STATE, state=NO_STATE, embodiment="", control_hz=0.0)
                for start in starts[first : first + self.batch]
            ]
            plans.append(self.policy.plan_batch(seen, instructions[first : first + self.batch]))
        return np.concatenate(plans)

    def name(self, plans: Plans) -> NDArray[np.int64]:
        """Give the nearest codes (b, n, k)."""
        import torch

        return np.asarray(self.lam.vq.nearest(torch.from_numpy(plans)).numpy(), np.int64)

    def predict(self, starts: Sequence[Start], latents: Sequence[NDArray[np.float32]]) -> list[list[NDArray[np.uint8]]]:
        """Predict the pictures (side, side, 3) that latent actions (m, k, d) lead to; the first one leads."""
        import torch

        side, device = self.lam.config.resolution, self.lam.mean.device
        pictures = [[resize(start.frames[0], side, side)] for start in starts]
        for step in range(max(map(len, latents))):
            going = [i for i, latent in enumerate(latents) if len(latent) > step]
            for first in range(0, len(going), self.batch):
                some = going[first : first + self.batch]
                images = torch.from_numpy(np.stack([pictures[i][-1] for i in some])).permute(0, 3, 1, 2).to(device)
                latent = torch.from_numpy(np.stack([latents[i][step] for i in some])).to(device)
                rendered = self.lam.render(images, self.lam.snap(latent)).permute(0, 2, 3, 1).cpu().numpy()
                for i, picture in zip(some, rendered, strict=True):
                    pictures[i].append(picture)
        return pictures


def _agreement(
    planner: Planner,
    starts: Sequence[Start],
    plans: Plans,
    others: Sequence[NDArray[np.int64]],
    random: np.random.Generator,
) -> dict[str, Any]:
    """Hold plans against what happened there, and in other episodes."""
    named = planner.name(plans)
    pairs = [(i, i) for i in range(len(starts))]
    near = np.array([measures.cosine(plans[i], starts[j].latent) for i, j in pairs])
    right = [measures.accuracy(named[i], starts[j].codes) for i, j in pairs]
    figures: dict[str, Any] = {
        "cosine": round(float(near.mean()), 4),
        "codes": round(float(np.mean(right)), 4),
        **dict.fromkeys(("cosine_elsewhere", "codes_elsewhere", "low", "high")),
    }
    if all(len(each) for each in others):
        far = np.array([[measures.cosine(plans[i], starts[j].latent) for j in each] for i, each in enumerate(others)])
        wrong = [measures.accuracy(named[i], starts[j].codes) for i, each in enumerate(others) for j in each]
        episodes = [start.episode.episode_id for start in starts]
        low, high = measures.interval(near - far.mean(axis=1), episodes, random)
        figures |= {"cosine_elsewhere": round(float(far.mean()), 4), "low": low, "high": high}
        figures["codes_elsewhere"] = round(float(np.mean(wrong)), 4)
    return figures


def _approaches(
    planner: Planner, starts: Sequence[Start], plans: Plans, others: Sequence[NDArray[np.int64]]
) -> dict[str, float | None]:
    """Predict pictures of plans, of plans of other episodes, and of what happened, against the recorded ones."""
    lengths, side = [len(start.latent) for start in starts], planner.lam.config.resolution
    ways = {"": list(plans), "_happened": [start.latent for start in starts]}
    if all(len(each) for each in others):
        ways["_elsewhere"] = [plans[int(each[0])] for each in others]
    figures: dict[str, float | None] = {"approach_elsewhere": None}
    for name, latents in ways.items():
        led_to = planner.predict(starts, [latent[:m] for latent, m in zip(latents, lengths, strict=True)])
        errors = [
            measures.error(pictures[-1], resize(start.frames[-1], side, side), pictures[0])
            for pictures, start in zip(led_to, starts, strict=True)
        ]
        figures[f"approach{name}"] = measures.approach(errors)
    return figures


def _other_texts(config: PlanningConfig, starts: Sequence[Start]) -> dict[str, dict[int, str]]:
    """Say with which other words to plan, by kind and start: those of another task, and new ones for the same."""
    known = sorted({start.instruction for start in starts})
    texts: dict[str, dict[int, str]] = {}
    if len(known) > 1:
        after = dict(zip(known, [*known[1:], known[0]], strict=True))
        texts["another task's"] = {i: after[start.instruction] for i, start in enumerate(starts)}
    new = {i: config.rewordings[s.instruction] for i, s in enumerate(starts) if s.instruction in config.rewordings}
    return texts | ({"new": new} if new else {})


def _wording(planner: Planner, kind: str, starts: Sequence[Start], own: Plans, plans: Plans) -> Wording:
    named = planner.name(plans)
    right = [measures.accuracy(codes, start.codes) for codes, start in zip(named, starts, strict=True)]
    changed = float((named != planner.name(own)).mean())
    return Wording(kind=kind, starts=len(starts), codes=round(float(np.mean(right)), 4), changed=round(changed, 4))


def _example(
    planner: Planner,
    i: int,
    start: Start,
    plan: NDArray[np.float32],
    with_others: Sequence[tuple[Mapping[int, str], Plans]],
) -> list[tuple[str, list[NDArray[np.uint8]]]]:
    """Draw what happened from a start, and what plans lead to: with own words, another task's, new ones."""
    asked = [(start.instruction, plan)]
    asked += [(said[i], plans[list(said).index(i)]) for said, plans in with_others if i in said]
    predicted = planner.predict([start] * len(asked), [each[: len(start.latent)] for _, each in asked])
    side = planner.lam.config.resolution
    recorded = [resize(frame, side, side) for frame in start.frames]
    rows = [(f"plan: {text}", frames) for (text, _), frames in zip(asked, predicted, strict=True)]
    return [(f"recorded: {start.instruction}", recorded), *rows]
