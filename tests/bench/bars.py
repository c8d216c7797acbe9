"""The bars: what each asks, and whether it holds. A ratio is one of medians of the same run."""
import statistics


# Where that was not measured, the bare system calls may reach the bar.
FLOOR = ("floor",)


class Bar:
    def __init__(self, title, asked, measured, holds, floor=None, holders=FLOOR):
        self.title, self.asked, self.measured = title, asked, measured
        # Where the bare system calls of a thread for each client miss the bar, being within 10 % of them will do.
        self.is_at_floor = not holds and not holders.count("floor") and floor is not None and floor >= 0.9
        if floor is not None:
            self.measured += f"; {floor:.2f} x the bare system calls"
        self.holds = holds or self.is_at_floor
        self.verdict = "holds" if holds else "at the floor" if self.is_at_floor else "**missed**"
        if others := [name for name in holders if name != "floor"] if not holds else []:
            self.verdict += f"; {' and '.join(others)} holds it"


def judge(result):
    works = {}
    for work in result["works"]:
        works.setdefault(work["key"], []).append(work)
    bars = []
    for key, rule in RULES:
        for work in works.get(key, []):
            bars += rule(work)
    if "paced 1" in works and "paced 1000" in works:
        bars.append(flat([works[f"paced {clients}"][0] for clients in (1, 10, 100, 1000)]))
    return bars


def median(work, name, value):
    return statistics.median(value(taken) for taken in work["rounds"][name])


def speed(taken):
    return taken.get("requests", taken.get("bytes")) / taken["seconds"]


def cost(taken):
    return taken["cpu_seconds"] / taken.get("requests", taken.get("bytes"))


def who_holds(work, reference, holds):
    """The servers beside ours that reach what the bar asks for; "floor" is one."""
    others = [name for name, rounds in work["rounds"].items() if "cpu_seconds" in rounds[0]
              and not name.startswith(("coracle", reference))]
    return ["floor" if name.startswith("floor") else name for name in others if holds(name)]


def shown(ratio, least):
    """With as many digits as it takes to see that it is less."""
    return f"{ratio:.2f}" if (ratio >= least) == (round(ratio, 2) >= least) else f"{ratio:.4f}"


def title(work, of=""):
    return f"{work['title']} ({work['pinning']}){of}"


def at_least(least, ours, theirs, words, floor=None):
    def rule(work):
        def ratio(name):
            return median(work, name, speed) / median(work, theirs, speed)

        floor_ratio = ratio(ours) / ratio(floor) if floor else None
        yield Bar(title(work), f"at least {least} x {words}", shown(ratio(ours), least), ratio(ours) >= least, floor_ratio,
                  who_holds(work, theirs, lambda name: ratio(name) >= least))

    return rule


def bulk(work):
    yield from at_least(0.95, "coracle", "nginx", "nginx", "floor: sendfile")(work)

    def ratio(name):
        return median(work, name, cost) / median(work, "nginx", cost)

    yield Bar(title(work, ", CPU per GB"), "at most 1.1 x nginx's", f"{ratio('coracle'):.2f}", ratio("coracle") <= 1.1,
              ratio("floor: sendfile") / ratio("coracle"), who_holds(work, "nginx", lambda name: ratio(name) <= 1.1))


def listing(work):
    ours, theirs = (median(work, name, lambda taken: taken["seconds"]) for name in ("coracle, many", "nginx, many"))
    floor = median(work, "floor: getdents, statx", lambda taken: taken["seconds"]) / ours
    yield Bar(title(work), "at most 1.0 x nginx's time", f"{ours / theirs:.2f}", ours <= theirs, floor)
    more = median(work, "coracle, many", lambda taken: taken["memory_more"])
    yield Bar(title(work, ", memory"), "constant: at most 1 MiB more", f"{more / 2**20:.2f} MiB", more <= 2**20)


def idle(work):
    taken = work["rounds"]["coracle, idle"][0]
    yield Bar(title(work, ", time to connect"), "under 1 s", f"{taken['connect_seconds']:.2f} s",
              taken["connect_seconds"] < 1)
    each = taken["resident_each"] / 1024
    yield Bar(title(work, ", memory of the process"), "at most 12 KiB each", f"{each:.1f} KiB", each <= 12)


def flat(paced):
    costs = [median(work, "coracle", cost) * 1e6 for work in paced]
    measured = " / ".join(f"{one:.1f}" for one in costs) + " µs"
    return Bar("CPU per request, 1 / 10 / 100 / 1,000 clients that ask once a second", "flat within 2 x", measured,
               costs[-1] <= 2 * min(costs[0], costs[-1]))


RULES = [
    ("bulk drop", bulk),
    ("bulk splice", bulk),
    ("known", at_least(0.95, "coracle", "coracle, no digest", "our own without digest")),
    ("first", at_least(0.9, "coracle", "nginx, no sendfile", "nginx without sendfile", "floor: sendfile, hashed")),
    ("text 1", at_least(1.2, "coracle, text", "legacy Python server", "the legacy Python server", "floor: small")),
    ("text 64", at_least(2, "coracle, text", "legacy Python server", "the legacy Python server", "floor: small")),
    ("list", listing),
    ("idle", idle),
    ("get", at_least(0.8, "coracle", "nginx", "curl from nginx")),
]
