"""`villa export lam`: a latent action model in the format that villa-X's authors publish theirs in."""

from dataclasses import asdict
from pathlib import Path

from dataengine.config import Config
from dataengine.framing import stated_framings
from dataengine.report import Report
from pipelines.output.folder import claimed


class ExportLamConfig(Config):
    """Which model goes where."""

    lam: Path
    """Directory of the latent action model."""
    out: Path
    """New directory."""


class ExportLamReport(Report):
    """What was written."""

    lam: str
    out: str
    parameters: int
    left_behind: list[str]
    """Parts that the released format has no place for."""

    def summary(self) -> str:
        """Say where the model is."""
        without = f", without {', '.join(self.left_behind)}" if self.left_behind else ""
        return f"{self.out}: {self.parameters / 1e6:.2f} M parameters in the released format{without}"


def run(config: ExportLamConfig) -> ExportLamReport:
    """Write the model, read it back, and say what stayed behind."""
    from models.weights import CONFIG_NAME, WEIGHTS_NAME, load_lam, read_config, save_released_lam

    lam = load_lam(config.lam)
    framed = {
        name: asdict(one) for name, one in stated_framings(read_config(config.lam), config.lam / CONFIG_NAME).items()
    }
    with claimed(config.out, "export lam") as out:
        out.claim(CONFIG_NAME, WEIGHTS_NAME)
        save_released_lam(lam, config.out, {"data": {"framings": framed}} if framed else {})
        written = load_lam(config.out)
    return ExportLamReport(
        lam=str(config.lam),
        out=str(config.out),
        parameters=sum(p.numel() for p in written.parameters()),
        left_behind=["the proprio forward model"] if lam.proprio is not None else [],
    )
