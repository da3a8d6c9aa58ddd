"""Instructions become token ids, with what the model expects around them, by a tokenizer.json that a run keeps."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.formats import remote
from models.vlm.config import PromptConfig

PAD_ID = 0
PALIGEMMA = PromptConfig()
FILE_NAME = "tokenizer.json"
MAX_BYTES = 2**27
"""PaliGemma's, of 257,000 words, has 18 MB."""
MOST_KNOWN = 2**14
"""Instructions whose ids are kept: of most datasets all; of what clients of a server say, some 20 MB."""


class Tokenizer:
    """Wraps a `tokenizers` tokenizer; `prompt` says what begins and ends a text: BOS and newline, by default."""

    def __init__(self, text: str, prompt: PromptConfig = PALIGEMMA) -> None:
        from tokenizers import Tokenizer as Fast

        self.text = text
        """The content of its tokenizer.json."""
        self.prompt = prompt
        self._fast = Fast.from_str(text)
        self._fast.no_padding()
        self._fast.no_truncation()
        self._known: dict[tuple[str, int], tuple[NDArray[np.int64], int]] = {}
        self._warned = False
        for role, known in (("padding", PAD_ID), ("BOS", prompt.bos_id)):
            if known is not None and self._fast.id_to_token(known) is None:
                raise DataEngineError(f"tokenizer has no token {known}, expected its {role} there as the model's has")

    @property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs."""
        return max(self._fast.get_vocab(with_added_tokens=True).values()) + 1

    def id_of(self, token: str) -> int | None:
        """Find the row of a token, None where there is no such token."""
        token_id: int | None = self._fast.token_to_id(token)
        return token_id

    @classmethod
    def read(cls, path: Path, prompt: PromptConfig = PALIGEMMA) -> "Tokenizer":
        """Read a tokenizer.json; raise DataEngineError if it is none."""
        try:
            with remote.open_file(path) as file:  # not a pipe, which would be waited for
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES} bytes")
            return cls(data.decode(), prompt)
        except FileNotFoundError:
            raise DataEngineError(
                f"{path}: no such file; give a tokenizer.json, or none to train a small one"
            ) from None
        except Exception as error:
            if isinstance(error, DataEngineError):
                raise DataEngineError(f"{path}: {error}") from error
            raise DataEngineError(f"{path}: not a tokenizer.json: {str(error).splitlines()[0]}") from error

    @classmethod
    def train(cls, instructions: Sequence[str], vocab_size: int, prompt: PromptConfig = PALIGEMMA) -> "Tokenizer":
        """Learn a byte-level BPE vocabulary; equal instructions in any order give the same one."""
        from tokenizers import Tokenizer as Fast
        from tokenizers import decoders, models, pre_tokenizers, trainers

        fast = Fast(models.BPE())
        fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        fast.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=["<pad>", "<eos>", "<bos>", "<unk>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        fast.train_from_iterator(sorted(instructions), trainer)
        return cls(json.dumps(json.loads(fast.to_str()), ensure_ascii=False), prompt)

    def encode(self, texts: Sequence[str], length: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Give ids (b, length), padded on the right, and their mask. What is too long loses its end, with a warning."""
        ids = np.full((len(texts), length), PAD_ID, dtype=np.int64)
        used = np.zeros(len(texts), dtype=np.int64)
        for i, text in enumerate(texts):
            ids[i], used[i] = self._encode_one(text, length)
        return ids, np.arange(length) < used[:, None]

    def num_tokens(self, text: str) -> int:
        """Count the tokens of an instruction, BOS and newline among them."""
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        prompt = self.prompt
        encoded: Any = self._fast.encode(text.strip().replace("\n", " ") + prompt.suffix, add_special_tokens=False)
        return [*([] if prompt.bos_id is None else [prompt.bos_id]), *encoded.ids]

    def _encode_one(self, text: str, length: int) -> tuple[NDArray[np.int64], int]:
        known = self._known.get((text, length))
        if known is None:
            ids = self._ids(text)
            if len(ids) > length and not self._warned:
                self._warned = True
                message = f"instruction of {len(ids)} tokens loses its end, the model reads {length}: '{text[:60]}'"
                print(f"warning: {message} (said once)", file=sys.stderr, flush=True)  # noqa: T201
            row = np.full(length, PAD_ID, dtype=np.int64)
            row[: len(ids)] = ids[:length]
            known = row, min(len(ids), length)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()  # in one step, as threads of a server share it
            self._known[text, length] = known
        return known
