"""What answers requests: a trained policy. Its metadata tell a client what to send and what it gets."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from dataengine.naming import did_you_mean
from pipelines.serving import observation
from pipelines.serving.config import ServeConfig
from pipelines.serving.convention import SERVER, Convention, canonical_state, client_facts, require_convertible
from pipelines.serving.observation import Names, Reply, Request
from pipelines.serving.ranges import UsualStates
from pipelines.serving.threads import Threads
from pipelines.serving.wire import WireError

if TYPE_CHECKING:
    from dataengine.windows.stats import Statistics
    from models.lam import Lam
    from pipelines.evaluation.policy import ActPolicy


MOST_INSTRUCTIONS: Final = 1000
"""Whose number of tokens is remembered: a robot gives the same one at every look."""


class Engine(Protocol):
    """Answers requests; one call at a time, from one thread."""

    def metadata(self, embodiment: str = "") -> dict[str, Any]:
        """Plain values for a client, of one robot where it names one; raise WireError for one that is not served."""
        ...

    def request(self, seen: Mapping[str, Any], step: int, embodiment: str = "") -> Request:
        """Check an observation (flat) of a client, which may have named its robot when it came.

        Raises WireError for what is missing or unsound. Called from any thread.
        """
        ...

    def warm_up(self) -> None:
        """Answer something, so that the first client waits no longer than others."""
        ...

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer requests of one group."""
        ...


def group_of(request: Request) -> tuple[Any, ...]:
    """Name the requests that may be answered together: those of one robot, in the same way."""
    return request.embodiment, request.continuation is not None, request.guided


class PolicyEngine:
    """A policy from its checkpoint."""

    def __init__(self, config: ServeConfig) -> None:
        from pipelines.evaluation.policy import ActPolicy

        self._config, self._names = config, Names(config.keys)
        policy = ActPolicy.load(
            config.policy,
            config.device,
            dataset=config.acts_as or None,
            noise=config.noise,
            seed=config.seed,
            num_euler_steps=config.num_euler_steps or None,
            precision=config.precision,
            compiles=config.compile,
        )
        self._policy: ActPolicy = policy
        self._num_tokens = lru_cache(MOST_INSTRUCTIONS)(policy.tokenizer.num_tokens)
        known = list(self._policy.bodies)
        if not known:
            raise DataEngineError(f"{config.policy}: was trained on people alone, and knows no robot that could act")
        if config.embodiment and config.embodiment not in known:
            near = did_you_mean(config.embodiment, known)
            raise DataEngineError(f"{config.policy}: does not know embodiment '{config.embodiment}'; {near}")
        self._embodiment = config.embodiment or (known[0] if len(known) == 1 else "")
        served = [self._embodiment] if self._embodiment else known
        _check_acts_as(self._policy, config, served)
        require_convertible(config.convention, {name: self._about(name) for name in served}, config.policy)
        numbers = {name: policy.normalizer.of(name, policy.acts_as_in(name)) for name in known}
        self._usual = {name: UsualStates(one.state) for name, one in numbers.items()}
        self._threads: Threads | None = None
        self._lam = _lam_of(self._policy, config)
        self.horizon = self._policy.model.config.horizon
        check_action_steps(config.action_steps, self.horizon)

    def metadata(self, embodiment: str = "") -> dict[str, Any]:
        """Say what is served: robots, cameras, states, actions, chunk."""
        only = self._served(embodiment) if embodiment else self._embodiment
        convention = self._config.convention
        robots = {
            name: client_facts(convention, self._about(name)) for name in ([only] if only else self._policy.bodies)
        }
        return {
            "server": SERVER if convention == "canonical" else f"{SERVER} ({convention})",
            "embodiment": only,
            **_in_common(list(robots.values())),
            "embodiments": robots,
            "cameras": ["image", *(["wrist"] if self._policy.model.config.wrist else [])],
            "horizon": self.horizon,
            "action_horizon": self._config.action_steps or self.horizon,
            "max_inference_delay": self._policy.model.config.max_inference_delay,
            "plan": list(self._plan_shape),
            "frames": self._lam is not None,
            "text_tokens": self._policy.model.config.vlm.text_length,
        }

    @property
    def _plan_shape(self) -> tuple[int, ...]:
        config = self._policy.model.config
        return (config.num_latents, config.codes_per_latent, config.latent_dim) if config.denoises_plan else ()

    def _about(self, name: str) -> dict[str, Any]:
        dataset = self._policy.acts_as_in(name)
        numbers = self._policy.normalizer.of(name, dataset)
        body = self._policy.bodies[name]
        facts = {**body, **body.get("datasets", {}).get(dataset, {})}
        return {
            "dataset": dataset,
            "rate_hz": float(facts["control_hz"]),
            **vector_facts("state", numbers.state),
            **vector_facts("action", numbers.action),
        }

    def request(self, seen: Mapping[str, Any], step: int, embodiment: str = "") -> Request:
        """Check an observation against what the policy was trained on."""
        name = self._robot(seen, embodiment)
        image = observation.image(seen, self._names, "image")
        if image is None:
            raise WireError(f"observation has no image, expected the primary camera in {self._names.said('image')}")
        reads_wrist = self._policy.model.config.wrist is not None
        wrist = observation.image(seen, self._names, "wrist") if reads_wrist else None
        if reads_wrist and wrist is None and self._config.require_wrist:
            raise WireError(
                f"observation has no wrist picture, expected it in {self._names.said('wrist')}; a server with "
                f"require_wrist=false does without"
            )
        text = observation.instruction(seen, self._names)
        self._check_length(text)
        dataset = self._policy.acts_as_in(name)
        action_dim = self._policy.normalizer.dim(name, "action", dataset)
        state_dim = self._policy.normalizer.dim(name, "state", dataset)
        continuation = observation.continuation(seen, action_dim, self.horizon)
        convention = self._config.convention
        if continuation is not None and convention != "canonical":
            raise WireError(f"'rtc' is of canonical actions, and this server speaks as {convention} does")
        longest = self._policy.model.config.max_inference_delay
        state = checked_state(seen, self._names, name, state_dim, convention)
        return Request(
            image=image,
            wrist=wrist,
            state=state,
            embodiment=name,
            instruction=text,
            continuation=continuation,
            guided=continuation is not None and continuation.delay > longest,
            wants_plan=self._plan(seen, "plan"),
            wants_frames=self._plan(seen, "frames"),
            warning=self._usual[name].far_off(state),
            step=step,
        )

    def _robot(self, seen: Mapping[str, Any], connected: str) -> str:
        given = self._names.find(seen, "embodiment")
        name = given[0] if given else connected or self._embodiment
        if isinstance(name, str) and not name:
            raise WireError(
                f"observation names no embodiment, expected {self._expected(connected)} in "
                f"{self._names.said('embodiment')}, in `?embodiment=` of the address, or in --embodiment of the command"
            )
        return self._served(name, connected)

    def _served(self, name: object, connected: str = "") -> str:
        """Give the name of a robot that is served, to a client that came as one; raise WireError for any other."""
        if not isinstance(name, str) or name not in self._policy.bodies:
            raise WireError(f"embodiment {name!r:.80} is unknown, expected {self._expected(connected)}")
        if (only := self._embodiment or connected) and name != only:
            raise WireError(f"embodiment '{name}' is not served here, expected {self._expected(connected)}")
        return name

    def _expected(self, connected: str) -> str:
        """Say which robots a client may name."""
        only = self._embodiment or connected
        return f"'{only}'" if only else f"one of {', '.join(self._policy.bodies)}"

    def _check_length(self, text: str) -> None:
        most = self._policy.model.config.vlm.text_length
        if (count := self._num_tokens(text)) > most:
            raise WireError(f"instruction has {count} tokens, the policy reads {most}; say it in fewer words")

    def _plan(self, seen: Mapping[str, Any], key: str) -> bool:
        if not observation.flag(seen, key):
            return False
        if not self._plan_shape:
            raise WireError(f"'{key}' was asked for, but this policy was trained without latent actions")
        if key == "frames" and self._lam is None:
            raise WireError("'frames' was asked for, but the server has no decoder; start it with --lam")
        return True

    def warm_up(self) -> None:
        """Act once for every robot that is served; in batches of several sizes where these are recorded or compiled.

        On a CPU it measures how many threads are fastest, but of what is compiled, which another number would compile
        anew. The noise that it draws is drawn again.
        """
        generator = self._policy.generator
        drawn = None if generator is None else generator.get_state()
        for name in [self._embodiment] if self._embodiment else self._policy.bodies:
            one = self._black(name)
            grows = self._policy.replays_graphs or self._config.compile
            largest = (self._config.max_batch - 1).bit_length() if grows else 0
            for power in range(largest + 1):
                self.answer([one] * 2**power)
        if self._policy.device == "cpu" and not self._config.compile:
            self._threads = Threads.measured(lambda size: self.answer([one] * size), self._config.max_batch)
        if generator is not None and drawn is not None:
            generator.set_state(drawn)

    def _black(self, name: str) -> Request:
        """Make a robot's observation of nothing."""
        side = self._policy.model.config.vlm.vision.image_size
        black = np.zeros((side, side, 3), np.uint8)
        return Request(
            image=black,
            wrist=black if self._policy.model.config.wrist else None,
            state=np.zeros(self._policy.normalizer.dim(name, "state", self._policy.acts_as_in(name)), np.float32),
            embodiment=name,
            instruction="warm up",
        )

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Ask the policy once for all of them."""
        if self._threads is not None:
            self._threads.use(len(requests))
        continued = [one.continuation for one in requests if one.continuation is not None]
        texts = [one.instruction for one in requests]
        prediction = self._policy.predict(requests, texts, continued or None, self._config.guidance_beta)
        return [
            Reply(
                actions,
                latents if one.wants_plan or one.wants_frames else None,
                self._frames(one, latents),
                one.continuation.delay if one.continuation else None,
            )
            for one, actions, latents in zip(requests, prediction.actions, prediction.latents, strict=True)
        ]

    def _frames(self, request: Request, latents: NDArray[np.float32]) -> tuple[bytes, ...]:
        if not request.wants_frames or self._lam is None:
            return ()
        import torch

        from pipelines.evaluation.plan import roll_out

        _, *pictures = roll_out(self._lam, request.image, self._lam.snap(torch.as_tensor(latents)))
        return tuple(jpeg.encode(picture) for picture in pictures)


def _in_common(robots: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Give what is the same for all robots: of one, all of it."""
    first, *others = robots
    return {key: value for key, value in first.items() if all(other[key] == value for other in others)}


def vector_facts(column: str, statistics: "Statistics") -> dict[str, Any]:
    """Say of a vector what a client must know: width, encoding, names, units, which are changes, range."""
    return {
        f"{column}_dim": statistics.dim,
        f"{column}_encoding": statistics.encoding,
        f"{column}_names": list(statistics.names),
        f"{column}_units": list(statistics.units),
        f"{column}_grippers": list(statistics.grippers),
        f"{column}_moves": None if statistics.moves is None else list(statistics.moves),
        f"{column}_low": [float(x) for x in statistics.q01],
        f"{column}_high": [float(x) for x in statistics.q99],
    }


def checked_state(
    seen: Mapping[str, Any], names: Names, robot: str, dim: int, convention: Convention = "canonical"
) -> NDArray[np.float32]:
    """Give a state (dim,), nothing where the robot was recorded without one."""
    state = observation.state(seen, names)
    if not dim:
        return np.zeros(0, np.float32)
    if state is None:
        raise WireError(f"observation has no state, expected ({dim},) of '{robot}' in {names.said('state')}")
    state = canonical_state(convention, state)
    if state.shape != (dim,):
        raise WireError(
            f"state has {len(state)} values, expected {dim} of '{robot}': canonical, in the units of the metadata"
        )
    return state


def check_action_steps(action_steps: int, horizon: int) -> None:
    """Refuse to execute more of a chunk than there is."""
    if action_steps > horizon:
        raise DataEngineError(f"action_steps is {action_steps}, a chunk of this policy has {horizon} actions")


def _check_acts_as(policy: "ActPolicy", config: ServeConfig, robots: Sequence[str]) -> None:
    """Refuse a dataset that no robot was seen in."""
    known = sorted({dataset for name in robots for dataset in policy.bodies[name].get("datasets", {})})
    if config.acts_as and config.acts_as not in known:
        raise DataEngineError(
            f"{config.policy}: was not trained on '{config.acts_as}'; {did_you_mean(config.acts_as, known)}"
        )


def _lam_of(policy: "ActPolicy", config: ServeConfig) -> "Lam | None":
    """Read the decoder of a policy's plans, where one is named."""
    if not config.lam:
        return None
    if not policy.model.config.denoises_plan:
        raise DataEngineError(f"{config.policy}: plans no latent actions for lam {config.lam} to decode; leave it out")
    from pipelines.evaluation.plan import load_lam_of

    return load_lam_of(policy, config.policy, config.lam)
