# Times of several implementations of one thing, in one random order, in two regimes.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""cool: 3 to 8 launches after idling for 20 ms, behind as many that are not timed; hot: back to back for at least 50 ms, after as long untimed,
so that the card's power control has settled for this one and not the one before.
Each implementation is a function issue(i) that enqueues launch i on torch's current stream; it is captured in a graph, and
replays are timed by events. Seconds of a launch, medians over rounds."""
import random
import statistics
import time

COOL_SECONDS, HOT_RECORDED_SECONDS, MOST_RECORDED = 2e-3, 5e-3, 64


class Times:
    def __init__(self):
        self.cool, self.hot = [], []

    def medians(self):
        return statistics.median(self.cool), statistics.median(self.hot)

    @property
    def score(self):
        cool, hot = self.medians()
        return (cool * hot) ** 0.5


class Timer:
    def __init__(self, torch, rounds=7, pause=0.02, hot=0.05, seed=1):
        self.torch, self.rounds, self.pause, self.hot, self.random = torch, rounds, pause, hot, random.Random(seed)

    def capture(self, issue, launches):
        torch = self.torch
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            for i in range(launches):
                issue(i)
        return graph

    def seconds(self, replay, replays=1):
        torch = self.torch
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(replays):
            replay()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e-3

    def cool(self, graph, launches):
        self.torch.cuda.synchronize()
        time.sleep(self.pause)
        graph.replay()  # while it runs, what is timed gets into the queue
        return self.seconds(graph.replay) / launches

    def rough(self, issue, launches=3):
        """Seconds of a launch, after warming up."""
        issue(0)
        graph = self.capture(issue, launches)
        graph.replay()
        return min(self.seconds(graph.replay) for _ in range(3)) / launches

    def compare(self, contestants, turn=1, keep=None):
        """name -> issue; `turn`: copies that launches go through. Names in `keep` is a function from rough times to the
        names that are worth the full measurement. Returns name -> Times."""
        torch = self.torch
        rough = {name: self.rough(issue) for name, issue in contestants.items()}
        names = list(keep(rough)) if keep else list(contestants)
        best = min(rough[name] for name in names)
        few = min(max(int(COOL_SECONDS / best), 3), 8)
        many = min(max(int(HOT_RECORDED_SECONDS / best), few), MOST_RECORDED)
        many = -(-many // turn) * turn
        graphs = {name: (self.capture(contestants[name], few), self.capture(contestants[name], many)) for name in names}
        times = {name: Times() for name in names}
        for _ in range(self.rounds):
            for name in self.random.sample(names, len(names)):
                times[name].cool.append(self.cool(graphs[name][0], few))
            for name in self.random.sample(names, len(names)):
                replays = max(int(self.hot / (rough[name] * many)) + 1, 1)
                for _ in range(replays):
                    graphs[name][1].replay()
                times[name].hot.append(self.seconds(graphs[name][1].replay, replays) / (many * replays))
        torch.cuda.synchronize()
        return times
