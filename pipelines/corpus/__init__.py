"""Looks at a corpus, compares its states, keeps it in order."""

from pipelines.corpus.health import CorpusConfig, VerifyConfig, info, verify

__all__ = ["CorpusConfig", "VerifyConfig", "info", "verify"]
