"""Works and bars: who takes part in what, what is asked of the result, and whether it holds."""
import statistics


class Work:
    """`contestants` maps names to functions that measure one round and return its figures; `files` names what of the served
    files they read. Each bar of `bars` is a line of the table. `most_rounds` are enough where one takes long; what is short and noisy is worth `times` as many; contestants in
    `once` take part in the first round alone."""

    def __init__(self, key, title, files, contestants, bars, most_rounds=None, times=1, once=()):
        self.key, self.title, self.files, self.contestants, self.bars = key, title, files, contestants, bars
        self.most_rounds, self.times, self.once = most_rounds, times, once

    def rounds(self, rounds):
        return min(rounds * self.times, self.most_rounds or rounds * self.times)


class Bar:
    """Asks that `value` of a round of `ours` is at least or at most `limit` times that of `theirs`, by medians; without
    `theirs`, that it is at most `limit`. Without a limit the value is shown and not judged. `shown` prints a value, `beside` what
    is told along with it."""

    def __init__(self, words, value, shown, theirs, least=None, most=None, ours="coracle", subject="", beside=None):
        self.words, self.value, self.shown, self.ours, self.theirs = words, value, shown, ours, theirs
        self.least, self.most, self.subject, self.beside = least, most, subject, beside

    def ratio(self, rounds):
        """Of the medians; without `theirs` the median."""
        ours = self.median(rounds, self.ours)
        return ours / self.median(rounds, self.theirs) if self.theirs else ours

    def median(self, rounds, name):
        return statistics.median(map(self.value, rounds[name]))

    def is_judged(self):
        return self.least is not None or self.most is not None

    def holds(self, ratio):
        if not self.is_judged():
            return True
        return ratio >= self.least if self.least is not None else ratio <= self.most

    def printed(self, rounds, name):
        """The median of a contestant."""
        text = self.shown(self.median(rounds, name))
        return f"{text}, {self.beside(rounds[name])}" if self.beside else text

    def spread(self, rounds):
        """Lowest and highest ratio of the rounds in which both took part."""
        if not self.theirs:
            return ""
        pairs = zip(rounds[self.ours], rounds[self.theirs])
        ratios = [self.value(ours) / self.value(theirs) for ours, theirs in pairs]
        return f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else ""

    def advantage(self, rounds):
        """How many times better than theirs; more is better."""
        return self.ratio(rounds) if self.least is not None else 1 / self.ratio(rounds)


def seconds(taken):
    return taken["seconds"]


def request_rate(taken):
    return taken["requests"] / taken["seconds"]


def byte_rate(taken):
    return taken["bytes"] / taken["seconds"]


def cpu_seconds(taken):
    return taken["cpu_seconds"]


def cpu_for_byte(taken):
    return taken["cpu_seconds"] / taken["bytes"]


def shown_seconds(value):
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s"


def shown_request_rate(value):
    return f"{value:,.0f}/s"


def shown_byte_rate(value):
    return f"{value / 1e9:.2f} GB/s"


def shown_cpu_for_byte(value):
    return f"{value * 1e9:.3f} s/GB"


def at_least(limit, theirs, value, shown, words=None, **more):
    return Bar(f"at least {limit} x {words or theirs}", value, shown, theirs, least=limit, **more)


def at_most(limit, theirs, value, shown, words=None, **more):
    return Bar(f"at most {limit} x {words or theirs}", value, shown, theirs, most=limit, **more)


def not_judged(words, theirs, value, shown, **more):
    return Bar(words, value, shown, theirs, **more)


def count(clients):
    return "1 client" if clients == 1 else f"{clients:,} clients"
