"""All that decides how a training goes on, in one file: what `train` resumes from."""

import dataclasses
import math
from pathlib import Path

import torch

from ._paths import write_atomically
from .history import History


class Resumable:
    """All that decides how training goes on, saved to and loaded from one file."""

    def __init__(self, net, optimizer, schedule, loader, device, settings: dict):
        self.parts = {"net": net, "optimizer": optimizer}
        if schedule is not None:
            self.parts["schedule"] = schedule
        self.generator = loader.generator
        self.device = device
        self.settings = settings | {
            "parts": list(self.parts),
            "learning rates": [group["lr"] for group in optimizer.param_groups],
            "weights": {key: list(value.shape) for key, value in net.state_dict().items()},
        }

    def save(self, path: Path, history: History) -> None:
        state = {key: part.state_dict() for key, part in self.parts.items()}
        state["history"] = dataclasses.asdict(history)
        state["settings"] = self.settings
        state["rng"] = torch.get_rng_state()
        if self.generator is not None:
            state["generator"] = self.generator.get_state()
        if self.device.type == "cuda":
            state["device_rng"] = torch.cuda.get_rng_state(self.device)
        elif self.device.type == "mps":
            state["device_rng"] = torch.mps.get_rng_state()
        write_atomically(path, lambda partial: torch.save(state, partial))

    def load(self, path: Path) -> History:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            history, settings = History(**state["history"]), state["settings"]
        except Exception as error:
            raise ValueError(
                f"{path} is not a whole checkpoint ({error}); delete it to start from epoch 1"
            ) from error
        differing = [
            f"{key} {_brief(settings.get(key))} instead of {_brief(asked)}"
            for key, asked in self.settings.items()
            if settings.get(key) != asked
        ]
        if differing:
            raise ValueError(
                f"{path} is of another run than this call asks for: it has "
                f"{'; '.join(differing)}. Give another checkpoint path, or delete the file"
            )
        for key, part in self.parts.items():
            part.load_state_dict(state[key])
        torch.set_rng_state(state["rng"])
        if self.generator is not None:
            self.generator.set_state(state["generator"])
        if "device_rng" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["device_rng"], self.device)
        elif "device_rng" in state and self.device.type == "mps":
            torch.mps.set_rng_state(state["device_rng"])
        return history


def _brief(setting) -> str:
    """A network's weights would fill the screen: their number and size are enough."""
    if not isinstance(setting, dict):
        return repr(setting)
    return f"{len(setting)} tensors of {sum(map(math.prod, setting.values()))} numbers"
