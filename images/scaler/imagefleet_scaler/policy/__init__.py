"""How many workers there should be, who goes, and why: one pure function.

It knows no AWS and no provider. Time is handed in, and what it must remember from turn to turn
goes out with the decision and comes back with the next observation.
"""

from imagefleet_scaler.policy.bounds import HOPELESS_BOOTS
from imagefleet_scaler.policy.config import PolicyConfig
from imagefleet_scaler.policy.decide import Decision, decide
from imagefleet_scaler.policy.memory import Memory
from imagefleet_scaler.policy.observation import READY, SUPPLY, Observation, Phase, Worker

__all__ = [
    "HOPELESS_BOOTS",
    "READY",
    "SUPPLY",
    "Decision",
    "Memory",
    "Observation",
    "Phase",
    "PolicyConfig",
    "Worker",
    "decide",
]
