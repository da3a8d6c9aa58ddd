"""What a training on a cluster and the command that waits for it tell each other; all of it is there to ask for.

It runs as an actor, in a process of its own that must start quickly: hence it imports nothing, and unpickles nothing.
"""


class Outcome:
    """Keeps what became of a run, beside its workers: Ray itself takes bad input for bad luck, and tries again."""

    def __init__(self) -> None:
        """Begin with a run of which nothing is known."""
        self._refusal: bytes | None = None
        self._stop: bytes | None = None
        self._report: bytes | None = None
        self._signal = 0
        self._takes_steps = False

    def refuse(self, error: bytes) -> None:
        """Note, of all workers, the first that says why there is nothing to try again."""
        self._refusal = self._refusal or error

    def stop(self, error: bytes) -> None:
        """Note that the workers stopped as they were asked to."""
        self._stop = error

    def report(self, report: bytes) -> None:
        """Note what the run reports."""
        self._report = report

    def interrupt(self, number: int) -> bool:
        """Note a signal that asks the run to stop; tell whether it takes steps, and so will hear of it."""
        self._signal = number
        return self._takes_steps

    def interrupted(self, takes_steps: bool) -> int:
        """Give the first worker that signal, 0 for none; it says in turn whether it takes steps."""
        self._takes_steps = takes_steps
        return self._signal

    def is_over(self) -> bool:
        """Tell whether there is nothing to try again: a worker has refused, or all are to stop."""
        return self._refusal is not None or self._signal != 0

    def is_refused(self) -> bool:
        """Tell whether a worker has refused."""
        return self._refusal is not None

    def read(self) -> tuple[bytes | None, bytes | None]:
        """Give, pickled, what ended the run before its end, and its report."""
        return self._refusal or self._stop, self._report
