"""What a device could compute in a second, to hold a training against."""

import time

import torch

DENSE_BF16_TFLOPS = {
    "B300": 2250,
    "B200": 2250,
    "GB200": 2500,
    "H200": 989,
    "GH200": 989,
    "H100 NVL": 835,
    "H100 PCIe": 756,
    "H100": 989,
    "H800": 989,
    "H20": 148,
    "A100": 312,
    "A800": 312,
    "A40": 150,
    "A10G": 70,
    "A10": 125,
    "A30": 165,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "RTX 6000 Ada": 364,
    "RTX A6000": 155,
    "RTX 5090": 210,
    "RTX 4090": 165,
    "RTX 3090": 71,
    "MI325X": 1307,
    "MI300X": 1307,
    "MI250X": 383,
}
"""By a part of the device's name: products of bfloat16 matrices, summed in float32, without sparsity, from the makers'
data sheets."""
SIDE, TRIES = 768, 3
"""Of the matrices that a CPU is measured with, and how often: a tenth of a second of one core."""


def peak_flops(device: torch.device, given_tflops: float | None) -> float | None:
    """Give the operations that a device could do in a second: as given, or by its name; a CPU is measured.

    None where nobody knows.
    """
    if given_tflops is not None:
        return given_tflops * 1e12
    if device.type == "cpu":
        return _measured()
    if device.type != "cuda":
        return None
    return named_peak_flops(torch.cuda.get_device_name(device))


def named_peak_flops(name: str) -> float | None:
    """Look a device up by its name, by the longest part that is known."""
    known = [part for part in DENSE_BF16_TFLOPS if f" {part.lower()}" in f" {name.lower().replace('-', ' ')}"]
    return DENSE_BF16_TFLOPS[max(known, key=len)] * 1e12 if known else None


def _measured() -> float:
    """Multiply matrices of float32 with the threads that training has; the best of a few tries."""
    one = torch.ones(SIDE, SIDE)
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        torch.mm(one, one)
        seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / min(seconds)
