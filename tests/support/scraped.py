"""What Prometheus would understand of a text of metrics."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scraped:
    """The samples of one scrape, by name and labels."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """Return a sample's value, 0 if there is none."""
        return self.samples.get((name, frozenset(labels.items())), 0)

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the values of a name's samples, by the values of their labels in order."""
        return {
            tuple(value for _, value in sorted(labels)): sample
            for (each, labels), sample in self.samples.items()
            if each == name
        }


def scraped(text: str) -> Scraped:
    """Read the text format; a sample that is there twice is an error."""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, f"{family.name} says nothing of itself"
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return Scraped(samples)
