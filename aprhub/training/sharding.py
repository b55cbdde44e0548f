"""Sharding: each process has all of the weights, or a part of every one of them."""

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from aprhub.decoder.model import Decoder
from aprhub.training.processes import Processes

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def replicas_of(decoder: Decoder, processes: Processes) -> DistributedDataParallel:
    """Return what runs a decoder that all have whole, and averages its gradients."""
    on_gpu = processes.device.type == "cuda"
    return DistributedDataParallel(
        decoder,
        device_ids=[processes.device] if on_gpu else None,
        # None changes: they are tables of rotations, and quantised weights.
        forward_sync_buffers=False,
        gradient_as_bucket_view=True,
    )


def shard(decoder: Decoder, processes: Processes) -> None:
    """Leave in each process its rows of every weight, gradient and average.

    A layer is whole while it computes, and what is in none while the decoder does, so
    that between two steps no parameter is. The decoder may have no weights yet: of what
    is then loaded into it, each process keeps its part. Gradients are averaged.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(processes.device.type, (processes.world,))
    for module in (*decoder.layers, decoder):
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    decoder.register_load_state_dict_pre_hook(_divide)  # type: ignore[no-untyped-call]


def _divide(
    module: nn.Module, state: dict[str, torch.Tensor], *_details: object
) -> None:
    """Put parts in place of the whole tensors that are to be loaded."""
    parameters = dict(module.named_parameters())
    for name, values in state.items():
        state[name] = part_of(values, parameters[name])


def is_sharded(tensor: torch.Tensor) -> "TypeGuard[DTensor]":
    """Whether a process has only its rows of a tensor.

    Asked without an import, which would take two seconds of each run that has none.
    """
    module: Any = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def part_of(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return what this process has of some values, if it has of `like` but a part."""
    if not is_sharded(like):
        return values
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(
        values, like.device_mesh, like.placements, src_data_rank=None
    )


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this process has of a tensor, which is all of most."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return all of a tensor; every process has to ask for it."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor
