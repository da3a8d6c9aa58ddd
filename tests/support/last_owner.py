"""A rank whose models are freed after their process groups, while threads of the groups still hold tensors."""

import sys
import threading
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipelines.training.distributed import process_group


def main() -> None:
    for _ in range(40):
        with process_group(torch.device("cpu"), alone=True):
            model = DistributedDataParallel(nn.Linear(2, 2))
            model(torch.ones(2, 2)).sum().backward()
            busy = threading.Thread(target=keep_the_interpreter)
            busy.start()
            dist.all_reduce(torch.zeros(1))  # when it is done, this thread and the group's wait for the interpreter
        sys.setswitchinterval(1000)
        del model
        sys.setswitchinterval(0.005)
        busy.join()


def keep_the_interpreter() -> None:
    sys.setswitchinterval(1000)
    end = time.perf_counter() + 0.02
    while time.perf_counter() < end:
        pass
    sys.setswitchinterval(1000)
