"""What a container asks of the node: CPU, memory and units of the flavour's accelerator."""

from __future__ import annotations

from aiinfn_hub.catalogue.models import Flavour
from aiinfn_hub.contract.quantities import format_bytes, format_cpu
from aiinfn_hub.errors import InvalidInput


def devices(flavour: Flavour, units: int = 1) -> dict[str, str]:
    """The extended resources of `units` units of the flavour; empty without an accelerator.

    Raises:
        InvalidInput: fewer than one unit, or several units of a flavour that has none.
    """
    if units < 1:
        raise InvalidInput(f"{units} units of {flavour.name} were asked for.", hint="Ask for one or more.")
    if not flavour.accelerator:
        if units > 1:
            raise InvalidInput(f"{flavour.name} has no accelerator to count.", hint="Leave the number out.")
        return {}
    return {flavour.resource: str(flavour.count * units)}


def resources(flavour: Flavour, cpu_millis: int, memory_bytes: int, units: int = 1) -> dict[str, dict[str, str]]:
    """The container's `resources`: requests equal limits, so that what was shown as free is what one gets.

    Kubernetes demands equality for extended resources; for memory it keeps one session from starving its neighbours,
    and for CPU it makes the node's account and ours the same.

    Raises:
        InvalidInput: an amount that is not positive.
    """
    if cpu_millis < 1 or memory_bytes < 1:
        raise InvalidInput("A pod needs some CPU and some memory.", hint="Ask for at least 1 millicore and 1 byte.")
    amounts = {"cpu": format_cpu(cpu_millis), "memory": format_bytes(memory_bytes)} | devices(flavour, units)
    return {"requests": dict(amounts), "limits": dict(amounts)}
