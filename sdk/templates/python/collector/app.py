"""A collector that counts finished tasks and the time they took."""

from collections import defaultdict
from typing import Sequence

from apflow_plugin import Measurement, export_collector


class {{type}}:
    def __init__(self) -> None:
        # The newest measurement that was counted: a batch may come again.
        self.newest = 0
        # By labels: executor and kind of end.
        self.counts: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)

    def collect(self, batch: Sequence[Measurement]) -> None:
        for one in batch:
            if one.sequence <= self.newest:
                continue
            self.newest = one.sequence
            if one.executor is not None:
                labels = f'{{executor="{one.executor}",kind="{one.kind}"}}'
                self.counts[labels] += 1
                self.seconds[labels] += one.duration

    def render(self) -> str:
        lines = []
        for labels, count in self.counts.items():
            lines += [f"tasks_total{labels} {count}\n", f"tasks_seconds_total{labels} {self.seconds[labels]}\n"]
        return "".join(lines)


Collector = export_collector({{type}})
