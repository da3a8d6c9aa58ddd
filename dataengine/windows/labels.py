"""Latent actions at rest: columns of `episodes.lance` for each model, which say in their metadata who made them.

`codes__<name>` holds (t, k) codes, flat, and its metadata the codebook: vectors (t, k, d) are its rows. Row i describes
frame i to frame i + K. Where that frame lies beyond the episode's end, codes are -1 and vectors 0. Labels that are no
rows of a codebook, and those of earlier versions, have the vectors in a second column, `latent__<name>`.
"""

import base64
import re
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from dataengine.windows.window import LatentInfo

NO_CODE: Final = -1
_LATENT, _CODES = "latent__", "codes__"
_CODEBOOK = "villa:codebook"
"""Key of the metadata with the rows of the codebook, float32 in base64."""


def latent_column(name: str) -> str:
    """Column of the vectors."""
    return _LATENT + name


def codes_column(name: str) -> str:
    """Column of the codes."""
    return _CODES + name


def label_name(wish: str) -> str:
    """Turn a model's name into one that a column can carry."""
    name = re.sub(r"[^a-z0-9_]+", "_", wish.lower()).strip("_")
    if not name:
        raise DataEngineError(f"label name '{wish}' has no letter or digit; give one such as 'lam_base'")
    return name


def label_fields(info: LatentInfo, slot: str, codebook: NDArray[np.float32] | None = None) -> pa.Schema:
    """Declare the columns, with their origin as metadata; with a codebook (n, d) that of the vectors is not needed."""
    metadata = {
        "villa:lam_fingerprint": info.fingerprint,
        "villa:k": str(info.k),
        "villa:d": str(info.d),
        "villa:interval_s": repr(info.interval_s),
        "villa:past_frames": str(info.past_frames).lower(),
        "villa:precision": info.precision,
        "villa:slot": slot,
    }
    codes = pa.field(codes_column(info.name), pa.list_(pa.int16()), metadata=metadata)
    if codebook is None:
        return pa.schema([pa.field(latent_column(info.name), pa.list_(pa.float32()), metadata=metadata), codes])
    rows = base64.b64encode(codebook.astype("<f4").tobytes()).decode()
    return pa.schema([codes.with_metadata({**metadata, _CODEBOOK: rows})])


def label_names(schema: pa.Schema) -> list[str]:
    """Every model that has labelled the table."""
    return sorted(name.removeprefix(_CODES) for name in schema.names if name.startswith(_CODES))


def label_columns(schema: pa.Schema, name: str) -> list[str]:
    """Columns that hold a model's labels: the codes, and the vectors where there is no codebook."""
    label_info(schema, name)
    has_vectors = label_codebook(schema, name) is None
    return [codes_column(name), *([latent_column(name)] if has_vectors else [])]


def label_info(schema: pa.Schema, name: str) -> LatentInfo:
    """Read a column's origin; raise DataEngineError with the known names if there is none."""
    if codes_column(name) not in schema.names:
        hint = did_you_mean(name, label_names(schema))
        raise DataEngineError(f"no latent actions called '{name}' (`villa label` writes some); {hint}")
    return origin(schema.field(codes_column(name)))


def label_codebook(schema: pa.Schema, name: str) -> NDArray[np.float32] | None:
    """Give the vectors (n, d) of the codes; None where a column holds those of each step."""
    field = schema.field(codes_column(name))
    rows = (field.metadata or {}).get(_CODEBOOK.encode())
    if rows is None:
        return None
    try:
        return np.frombuffer(base64.b64decode(rows, validate=True), "<f4").reshape(-1, origin(field).d)
    except ValueError as error:
        raise DataEngineError(f"column {field.name}: its codebook is damaged ({error}); restore the corpus") from error


def origin(field: pa.Field) -> LatentInfo:
    """Read what one of the two columns says of the model; raise DataEngineError where it does not."""
    metadata = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    try:
        return LatentInfo(
            name=field.name.removeprefix(_LATENT).removeprefix(_CODES),
            fingerprint=metadata["villa:lam_fingerprint"],
            k=int(metadata["villa:k"]),
            d=int(metadata["villa:d"]),
            interval_s=float(metadata["villa:interval_s"]),
            past_frames=metadata.get("villa:past_frames", "true") == "true",
            precision=metadata.get("villa:precision", "fp32"),
        )
    except KeyError as error:
        raise DataEngineError(
            f"column {field.name} does not say {error.args[0]}; it was not written by `villa label`"
        ) from None


def label_slot(schema: pa.Schema, name: str) -> str:
    """Which camera a column's latent actions were seen by."""
    return (schema.field(codes_column(name)).metadata or {}).get(b"villa:slot", b"primary").decode()


def about(schema: pa.Schema, name: str) -> str:
    """Say of a column's latent actions what tells them from others."""
    info, slot = label_info(schema, name), label_slot(schema, name)
    computed = "" if info.precision == "fp32" else f", in {info.precision}"
    return f"{info.interval_s:g} s, {info.kind}, camera {slot}, {info.k} codes, model {info.fingerprint}{computed}"


def unflatten(
    info: LatentInfo,
    codebook: NDArray[np.float32] | None,
    flat_codes: NDArray[np.int16],
    flat_latent: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Shape one episode's flat values, as `label_columns` lists them, into vectors (t, k, d) and codes (t, k)."""
    codes = flat_codes.reshape(-1, info.k)
    if codebook is not None:
        return vectors_of(codebook, codes, info.name), codes
    assert flat_latent is not None, "what has no codebook has vectors"
    return flat_latent.reshape(-1, info.k, info.d), codes


def vectors_of(codebook: NDArray[np.float32], codes: NDArray[np.int16], name: str) -> NDArray[np.float32]:
    """Look codes (t, k) up: (t, k, d), 0 where there is none; raise DataEngineError for one that is no row."""
    if codes.size and not NO_CODE <= int(codes.min()) <= int(codes.max()) < len(codebook):
        wrong = int(codes.max()) if codes.max() >= len(codebook) else int(codes.min())
        raise DataEngineError(
            f"labels '{name}' hold code {wrong}, expected {NO_CODE} to {len(codebook) - 1}: damaged; label again under "
            f"another name"
        )
    return np.where((codes == NO_CODE)[..., None], np.float32(0), codebook[codes])
