#!/usr/bin/env python3
"""Trains the frozen gates from datapacks of physics episodes and writes them with their manifest and report.

  drover robot --config configs/robot-sim.toml ...        # episodes of physics (REPORT.md has the whole commands)
  drover packs export --store STORE --out packs.jsonl
  python3 configs/gates/train.py --out DIR --seed 1 packs.jsonl...

Plain Python 3, standard library only. Deterministic: equal inputs and seed give equal bytes. The program never runs
this; it reads the files, compares their digests and cannot write them. To ship other gates, train into an empty folder,
read the report, and replace the folder as a whole.
"""

import argparse
import copy
import hashlib
import json
import math
import os
import random
from operator import mul

J_PER_WH = 3600.0
THRESHOLD = 0.9
TARGET_SHARE, CAP_SHARE = 0.20, 0.40
HIDDEN, EPOCHS, BATCH, RATE, DECAY = 16, 60, 32, 2e-3, 1e-4
NEGATIVES = 4  # damaged copies per episode; weighted so that both classes count the same
STANDARD_MAX = 8.0
MARGIN = 0.25  # of the range seen: figures further out are not judged
NEIGHBOURS = 5
KNOTS = 9
INPUTS = ["delta_mpl", "less_error", "delta_ep", "novelty"]
KINDS = ["energy_scaled", "too_fast_or_slow", "joints_permuted", "skill_energy_permuted", "order_broken",
         "outcome_flipped", "jittered", "chimera", "invented"]
UNSEEN = ["condition_swapped", "jittered_slightly"]  # measured, not trained on: what the net cannot be expected to see


# ---- figures of a pack: the same as gates_trust.cpp computes

def ratio(over, under):
    return over / under if under > 0 else 0.0


def skill_ids(packs):
    return sorted({int(s["skill_id"]) for p in packs for s in p["skill_trace"]})


def joint_names(packs):
    return sorted({name for p in packs for name in p["energy"]["energy_per_joint"]})


def figure_names(skills, joints):
    names = ["span_s", "power_W", "peak_over_power", "copper_over_energy", "integrated_gap_s", "trace_gap_s", "steps",
             "descents", "failures", "recoveries", "last_failed", "units", "safety_violated", "error_event", "events",
             "offset_x_m", "offset_y_m", "friction", "occlusion"]
    for s in skills:
        names += [f"skill_{s}_duration_s", f"skill_{s}_power_W", f"skill_{s}_uses"]
    return names + [f"joint_{j}_share" for j in joints]


def figures(p, skills, joints):
    trace, energy, tags = p["skill_trace"], p["energy"], p["semantic_tags"]
    span = trace[-1]["end_s"] - trace[0]["start_s"]
    total_J = energy["total_Wh"] * J_PER_WH
    power = ratio(total_J, span)
    c = energy.get("coordination_metrics", {})
    gap = descents = 0.0
    for a, b in zip(trace, trace[1:]):
        gap += abs(b["start_s"] - a["end_s"])
        descents += 1.0 if b["skill_id"] < a["skill_id"] else 0.0
    outcomes = [s["outcome"] for s in trace]
    units = energy["total_Wh"] / energy["Wh_per_unit"] if energy["Wh_per_unit"] > 0 else 0.0
    offset = p["condition"].get("vase_offset", [0.0, 0.0])
    out = [span, power, ratio(c.get("peak_W", 0.0), power), ratio(c.get("copper_loss_J", 0.0), total_J),
           c.get("integrated_s", 0.0) - span, gap, float(len(trace)), descents, float(outcomes.count("failure")),
           float(outcomes.count("recovered")), 1.0 if outcomes[-1] == "failure" else 0.0, units,
           1.0 if "safety_violated" in tags else 0.0, 1.0 if "error_event" in tags else 0.0,
           float(sum(t.startswith("event:") for t in tags)), offset[0], offset[1],
           p["condition"].get("drawer_friction", 0.0), p["condition"].get("occlusion_level", 0.0)]
    contribs = p["attribution"]["skill_contribs"]
    for s in skills:
        duration = 0.0
        uses = 0.0
        for step in trace:
            if step["skill_id"] == s:
                duration += step["end_s"] - step["start_s"]
                uses += 1.0
        used = contribs.get(str(s), {}).get("Wh", 0.0)
        out += [duration, ratio(used * J_PER_WH, duration), uses]
    for j in joints:
        out.append(ratio(energy["energy_per_joint"].get(j, {}).get("Wh", 0.0), energy["total_Wh"]))
    return out


# ---- copies in which something does not fit

def scale_energy(p, factor):
    e = p["energy"]
    for key in ("total_Wh", "Wh_per_unit", "Wh_per_hour"):
        e[key] *= factor
    for one in list(e["energy_per_joint"].values()) + list(p["attribution"]["skill_contribs"].values()):
        if "Wh" in one:
            one["Wh"] *= factor
    for key in ("peak_W", "copper_loss_J"):
        if key in e.get("coordination_metrics", {}):
            e["coordination_metrics"][key] *= factor


def off_one(rng, low, high):
    """A factor that is clearly off one, on either side."""
    return rng.uniform(*low) if rng.random() < 0.5 else rng.uniform(*high)


def permute(rng, parts):
    values = [one["Wh"] for one in parts]
    for _ in range(20):
        rng.shuffle(values)
        if any(abs(v - one["Wh"]) > 0.2 * max(v, one["Wh"]) for v, one in zip(values, parts)):
            break
    for one, value in zip(parts, values):
        one["Wh"] = value


def jitter(rng, p, sd):
    def factor():
        return max(0.05, 1 + sd * rng.gauss(0, 1))
    at = p["skill_trace"][0]["start_s"]
    for step in p["skill_trace"]:
        length = (step["end_s"] - step["start_s"]) * factor()
        step["start_s"], at = at, at + length
        step["end_s"] = at
    e = p["energy"]
    before = e["total_Wh"]
    for one in e["energy_per_joint"].values():
        one["Wh"] *= factor()
    e["total_Wh"] = sum(one["Wh"] for one in e["energy_per_joint"].values()) or before
    for key in ("Wh_per_unit", "Wh_per_hour"):
        e[key] *= ratio(e["total_Wh"], before)
    for one in p["attribution"]["skill_contribs"].values():
        if "Wh" in one:
            one["Wh"] *= factor()
    if "integrated_s" in e["coordination_metrics"]:
        e["coordination_metrics"]["integrated_s"] = at - p["skill_trace"][0]["start_s"]


def damaged(rng, kind, original, other):
    p = copy.deepcopy(original)
    if kind == "energy_scaled":
        scale_energy(p, off_one(rng, (0.3, 0.7), (1.4, 3.0)))
    elif kind == "too_fast_or_slow":
        factor = off_one(rng, (0.3, 0.7), (1.5, 2.5))
        for step in p["skill_trace"]:
            step["start_s"] *= factor
            step["end_s"] *= factor
        if "integrated_s" in p["energy"]["coordination_metrics"]:
            p["energy"]["coordination_metrics"]["integrated_s"] *= factor
    elif kind == "joints_permuted":
        permute(rng, list(p["energy"]["energy_per_joint"].values()))
    elif kind == "skill_energy_permuted":
        permute(rng, [one for one in p["attribution"]["skill_contribs"].values() if "Wh" in one])
    elif kind == "order_broken":
        trace = p["skill_trace"]
        for _ in range(20):
            a, b = rng.randrange(len(trace)), rng.randrange(len(trace))
            if trace[a]["skill_id"] != trace[b]["skill_id"]:
                break
        trace[a]["skill_id"], trace[b]["skill_id"] = trace[b]["skill_id"], trace[a]["skill_id"]
    elif kind == "outcome_flipped":
        p["energy"]["Wh_per_unit"] = 0.0 if p["energy"]["Wh_per_unit"] > 0 else p["energy"]["total_Wh"]
    elif kind == "jittered":
        jitter(rng, p, rng.uniform(0.15, 0.5))
    elif kind == "jittered_slightly":
        jitter(rng, p, 0.05)
    elif kind == "chimera":  # acts like one episode, uses the energy of another
        p["energy"]["energy_per_joint"] = copy.deepcopy(other["energy"]["energy_per_joint"])
        p["energy"]["total_Wh"] = other["energy"]["total_Wh"]
        p["energy"]["Wh_per_unit"] = other["energy"]["total_Wh"] if p["energy"]["Wh_per_unit"] > 0 else 0.0
        p["energy"]["coordination_metrics"] = copy.deepcopy(other["energy"]["coordination_metrics"])
        if "integrated_s" in p["energy"]["coordination_metrics"]:
            p["energy"]["coordination_metrics"]["integrated_s"] = (
                p["skill_trace"][-1]["end_s"] - p["skill_trace"][0]["start_s"])
    elif kind == "condition_swapped":
        for key in ("vase_offset", "drawer_friction", "occlusion_level"):
            p["condition"][key] = copy.deepcopy(other["condition"][key])
    return p


def invented(rng, rows):
    """Every figure from another episode: each plausible alone, not together."""
    return [rng.choice(rows)[i] for i in range(len(rows[0]))]


# ---- the net

class Net:
    def __init__(self, rng, n):
        self.n = n
        self.w = [[rng.gauss(0, math.sqrt(2.0 / n)) for _ in range(n)] + [0.0] for _ in range(HIDDEN)]
        self.v = [rng.gauss(0, math.sqrt(1.0 / HIDDEN)) for _ in range(HIDDEN)] + [0.0]

    def forward(self, x):
        h = []
        for row in self.w:
            a = sum(map(mul, row, x)) + row[-1]  # map stops at the end of x
            h.append(a if a > 0 else 0.0)
        return h, sum(map(mul, self.v, h)) + self.v[-1]

    def logit(self, x):
        return self.forward(x)[1]


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


class Adam:
    def __init__(self, size):
        self.m, self.s, self.t = [0.0] * size, [0.0] * size, 0

    def step(self, values, gradient):
        self.t += 1
        a = RATE * math.sqrt(1 - 0.999 ** self.t) / (1 - 0.9 ** self.t)
        self.m = [0.9 * m + 0.1 * g for m, g in zip(self.m, gradient)]
        self.s = [0.999 * s + 0.001 * g * g for s, g in zip(self.s, gradient)]
        return [x - a * m / (math.sqrt(s) + 1e-8) - RATE * DECAY * x for x, m, s in zip(values, self.m, self.s)]


def train_net(rng, samples, validation):
    """samples: (x, label, weight). The epoch with the least loss on the validation part is kept."""
    n = len(samples[0][0])
    net = Net(rng, n)
    adam_w, adam_v = [Adam(n + 1) for _ in range(HIDDEN)], Adam(HIDDEN + 1)
    best, best_loss = None, math.inf
    for _ in range(EPOCHS):
        rng.shuffle(samples)
        for start in range(0, len(samples), BATCH):
            batch = samples[start:start + BATCH]
            gw, gv = [[0.0] * (n + 1) for _ in range(HIDDEN)], [0.0] * (HIDDEN + 1)
            for x, y, weight in batch:
                h, z = net.forward(x)
                g = weight * (sigmoid(z) - y) / len(batch)
                xb = x + [1.0]
                for j, hj in enumerate(h):
                    if hj > 0:
                        gv[j] += g * hj
                        k = g * net.v[j]
                        gw[j] = [a + k * b for a, b in zip(gw[j], xb)]
                gv[-1] += g
            net.v = adam_v.step(net.v, gv)
            for j in range(HIDDEN):
                net.w[j] = adam_w[j].step(net.w[j], gw[j])
        loss = log_loss([(net.logit(x), y, w) for x, y, w in validation])
        if loss < best_loss:
            best, best_loss = (copy.deepcopy(net.w), list(net.v)), loss
    net.w, net.v = best
    return net


def log_loss(scored):
    total = sum(w for _, _, w in scored)
    return sum(w * (math.log1p(math.exp(-z)) if y else math.log1p(math.exp(-z)) + z) if z > -30 else w * (-z if y else 0)
               for z, y, w in scored) / total


def calibrate(scored):
    """Isotonic regression of label on logit (pool adjacent violators), as a line through the centres of its blocks."""
    blocks = []
    for z, y, w in sorted(scored):
        blocks.append([w * z, w * y, w])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] >= blocks[-1][1] / blocks[-1][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last)]
    points = [(b[0] / b[2], b[1] / b[2]) for b in blocks]
    if len(points) == 1:
        points.append((points[0][0] + 1, points[0][1]))
    logits, scores = [], []
    for z, s in points:
        z, s = short(z), min(1.0, max(0.0, short(s)))
        if logits and z <= logits[-1]:
            scores[-1] = max(scores[-1], s)
        else:
            logits.append(z)
            scores.append(s if not scores else max(s, scores[-1]))
    return logits, scores


def short(x):
    return float(f"{x:.6g}")


def standardised(x, mean, scale):
    return [min(STANDARD_MAX, max(-STANDARD_MAX, (a - m) / s)) for a, m, s in zip(x, mean, scale)]


class TrustModel:
    """What trust_net.toml holds for one task; judges as gates_trust.cpp does."""

    def judge(self, x):
        if any(not (lo <= a <= hi) for a, lo, hi in zip(x, self.low, self.high)):
            return 0.0
        return round(self.score(self.net.logit(standardised(x, self.mean, self.scale))) * 1e6) / 1e6

    def score(self, z):
        if not z > self.logits[0]:
            return self.scores[0]
        for k in range(1, len(self.logits)):
            if z < self.logits[k]:
                a, b = self.logits[k - 1], self.logits[k]
                return self.scores[k - 1] + (self.scores[k] - self.scores[k - 1]) * ((z - a) / (b - a))
        return self.scores[-1]


def identity(p):
    """World, conditions and seed: the same when the robot acts the same episodes again, unlike pack_id and times."""
    return p["provenance"]["source"]


def moment(p):
    """The order of a robot's episodes: by seed."""
    return identity(p).rsplit("/", 1)[-1], identity(p)


def part_of(p):
    """0..4 by the identity alone: 0-2 train, 3 validation and calibration, 4 held out."""
    return int(hashlib.sha256(identity(p).encode()).hexdigest()[:8], 16) % 5


def train_trust(rng, task, engine, packs):
    model = TrustModel()
    parts = {name: [p for p in packs if part_of(p) in ids]
             for name, ids in (("train", (0, 1, 2)), ("validation", (3,)), ("held_out", (4,)))}
    model.task, model.engine = task, engine
    model.skills, model.joints = skill_ids(parts["train"]), joint_names(parts["train"])
    model.names = figure_names(model.skills, model.joints)
    rows = [figures(p, model.skills, model.joints) for p in parts["train"]]
    columns = list(zip(*rows))
    model.mean = [short(sum(c) / len(c)) for c in columns]
    model.scale = [short(max(math.sqrt(sum((a - m) ** 2 for a in c) / len(c)), 1e-6)) for c, m in
                   zip(columns, model.mean)]
    spread = [max(c) - min(c) for c in columns]
    model.low = [short(min(c) - MARGIN * s - 1e-6) for c, s in zip(columns, spread)]
    model.high = [short(max(c) + MARGIN * s + 1e-6) for c, s in zip(columns, spread)]

    def copies(part, kinds, count):
        out = []
        for p in parts[part]:
            for kind in (kinds if count is None else [rng.choice(kinds) for _ in range(count)]):
                x = invented(rng, rows) if kind == "invented" else figures(
                    damaged(rng, kind, p, rng.choice(parts[part])), model.skills, model.joints)
                out.append((kind, x))
        return out

    def labelled(part):
        good = [(standardised(figures(p, model.skills, model.joints), model.mean, model.scale), 1, 1.0)
                for p in parts[part]]
        bad = [(standardised(x, model.mean, model.scale), 0, 1.0 / NEGATIVES) for _, x in copies(part, KINDS, NEGATIVES)]
        return good + bad

    validation = labelled("validation")
    model.net = train_net(rng, labelled("train"), validation)
    model.net.w = [[short(a) for a in row] for row in model.net.w]
    model.net.v = [short(a) for a in model.net.v]
    model.logits, model.scores = calibrate([(model.net.logit(x), y, w) for x, y, w in validation])
    held = parts["held_out"]
    model.good = [(p, model.judge(figures(p, model.skills, model.joints))) for p in held]
    model.bad = [(kind, model.judge(x)) for kind, x in copies("held_out", KINDS, None)]
    model.unseen = [(kind, model.judge(x)) for kind, x in copies("held_out", UNSEEN, None)]
    model.counts = {name: len(value) for name, value in parts.items()}
    return model


def auc(good, bad):
    order = sorted([(s, 1) for s in good] + [(s, 0) for s in bad])
    ranks, i = 0.0, 0
    while i < len(order):
        j = i
        while j < len(order) and order[j][0] == order[i][0]:
            j += 1
        ranks += sum(label for _, label in order[i:j]) * (i + j + 1) / 2
        i = j
    return (ranks - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad))


# ---- the lattice

def ranks01(values, among):
    """Share of `among` that lies below, ties half: the empirical distribution function."""
    ordered = sorted(among)
    import bisect
    return [(bisect.bisect_left(ordered, v) + bisect.bisect_right(ordered, v)) / (2 * len(ordered)) for v in values]


def conditions_of(packs):
    rows = [[*p["condition"]["vase_offset"][:2], p["condition"]["drawer_friction"], p["condition"]["occlusion_level"]]
            for p in packs]
    columns = list(zip(*rows))
    keep = [i for i, c in enumerate(columns) if max(c) > min(c)]
    mean = {i: sum(columns[i]) / len(rows) for i in keep}
    scale = {i: math.sqrt(sum((a - mean[i]) ** 2 for a in columns[i]) / len(rows)) for i in keep}
    return [[(r[i] - mean[i]) / scale[i] for i in keep] for r in rows]


def earned_usd_per_h(p):
    """Units sold less damage and energy, per hour. Unlike w_r it also counts damage where nothing was made."""
    m, c = p["episode_metrics"], p["condition"]
    usd = (c["price_per_unit"] * m["units"] - c["vase_break_cost"] * m["errors"]
           - c["energy_price_kWh"] * p["energy"]["total_Wh"] / 1000)
    return ratio(usd, m["hours"])


def lattice_rows(packs):
    """(inputs, what the record is worth to others, part): what other episodes earned near its conditions."""
    packs = sorted(packs, key=moment)
    where = conditions_of(packs)
    train = [i for i, p in enumerate(packs) if part_of(p) < 3]
    earned = [earned_usd_per_h(p) for p in packs]
    rank = ranks01(earned, [earned[i] for i in train])
    nearest_before = []
    rows = []
    for i, p in enumerate(packs):
        distance = lambda j: sum((a - b) ** 2 for a, b in zip(where[i], where[j]))
        near = sorted((distance(j), j) for j in train if j != i)[:NEIGHBOURS]
        nearest_before.append(math.sqrt(min((distance(j) for j in range(i)), default=4.0)))
        rows.append([p, sum(rank[j] for _, j in near) / len(near), part_of(p)])
    middle = sorted(nearest_before)[len(packs) // 2]
    out = []
    for (p, worth, part), d in zip(rows, nearest_before):
        a = p["attribution"]
        out.append(([a["delta_mpl"], -a["delta_error"], a["delta_ep"], d / (d + middle)], worth, part))
    return out


def knots_of(values):
    ordered = sorted(values)
    at = []
    for k in range(KNOTS):
        v = short(ordered[min(len(ordered) - 1, k * (len(ordered) - 1) // (KNOTS - 1))])
        if not at or v > at[-1]:
            at.append(v)
    if len(at) == 1:
        at.append(at[0] + 1)
    return at, [short(1 / (len(at) - 1))] * (len(at) - 1)


def even_knots_of(values):
    low, high = min(values), max(values)
    return [short(low + (high - low) * k / (KNOTS - 1)) for k in range(KNOTS)], [short(1 / (KNOTS - 1))] * (KNOTS - 1)


def calibrated(x, at, steps):
    total = 0.0
    for k, s in enumerate(steps):
        if not x > at[k]:
            break
        total += s * (1.0 if x >= at[k + 1] else (x - at[k]) / (at[k + 1] - at[k]))
    return total


def products(c):
    out = []
    for subset in range(1 << len(INPUTS)):
        value = 1.0
        for i in range(len(INPUTS)):
            if subset >> i & 1:
                value *= c[i]
        out.append(value)
    return out


def non_negative_least_squares(rows, targets, sweeps=3000, ridge=1e-4):
    """Coordinate descent on the normal equations; the masses stay >= 0, which makes the lattice monotone."""
    n = len(rows[0])
    gram = [[sum(r[i] * r[j] for r in rows) / len(rows) for j in range(n)] for i in range(n)]
    right = [sum(r[i] * t for r, t in zip(rows, targets)) / len(rows) for i in range(n)]
    x = [0.0] * n
    for _ in range(sweeps):
        for i in range(n):
            rest = right[i] - sum(map(mul, gram[i], x)) + gram[i][i] * x[i]
            x[i] = max(0.0, rest / (gram[i][i] + ridge))
    return x


class Lattice:
    def weight(self, inputs):
        c = [calibrated(x, at, steps) for x, (at, steps) in zip(inputs, self.calibrators)]
        total = 0.0
        for mass, product in zip(self.masses, self.terms(c)):
            total += mass * product
        return total

    @staticmethod
    def terms(c):
        return products(c)


def train_lattice(by_task):
    rows = [row for packs in by_task.values() for row in lattice_rows(packs)]
    fit = [r for r in rows if r[2] < 3]
    lattice = Lattice()
    lattice.calibrators = [(even_knots_of if name == "less_error" else knots_of)([r[0][i] for r in fit])
                           for i, name in enumerate(INPUTS)]  # most episodes have no error: quantiles would coincide
    terms = [products([calibrated(x, *c) for x, c in zip(r[0], lattice.calibrators)]) for r in fit]
    masses = non_negative_least_squares(terms, [r[1] for r in fit])
    mean = sum(sum(map(mul, masses, t)) for t in terms) / len(terms)
    lattice.scale = mean
    lattice.masses = [short(m / mean) for m in masses]  # the mean weight over the training episodes is 1
    lattice.rows = rows
    lattice.novelty_unknown = short(sorted(r[0][3] for r in fit)[len(fit) // 2])
    return lattice


# ---- files and report

def numbers(values):
    return "[" + ", ".join(repr(float(v)) for v in values) + "]"


def trust_toml(models):
    out = ["# Trust net, frozen. Made by train.py; never edited: manifest.toml records its SHA-256.", "format = 1",
           f"threshold = {THRESHOLD}"]
    for m in models:
        out += ["", "[[net]]", f'task_name = "{m.task}"', f'engine_type = "{m.engine}"',
                f"skills = {m.skills}", "joints = " + json.dumps(m.joints), "figures = " + json.dumps(m.names),
                "low = " + numbers(m.low), "high = " + numbers(m.high), "mean = " + numbers(m.mean),
                "scale = " + numbers(m.scale), "hidden = ["]
        out += ["  " + numbers(row) + "," for row in m.net.w]
        out += ["]", "output = " + numbers(m.net.v), "logits = " + numbers(m.logits), "scores = " + numbers(m.scores)]
    return "\n".join(out) + "\n"


def lattice_toml(lattice):
    out = ["# Econ lattice, frozen. Made by train.py; never edited: manifest.toml records its SHA-256.", "format = 1",
           f"novelty_unknown = {lattice.novelty_unknown!r}"]
    for name, (at, steps) in zip(INPUTS, lattice.calibrators):
        out += ["", f"[calibrate.{name}]", "at = " + numbers(at), "steps = " + numbers(steps)]
    for subset, mass in enumerate(lattice.masses):
        if mass > 0:
            names = [INPUTS[i] for i in range(len(INPUTS)) if subset >> i & 1]
            out += ["", "[[mass]]", "inputs = " + json.dumps(names), f"weight = {mass!r}"]
    return "\n".join(out + ["", "[brick]  # factors by brick_id; others have 1"]) + "\n"


def budget_toml():
    return ("# Lambda budget, frozen: the share of all weight that may be synthetic. manifest.toml records its SHA-256.\n"
            f"format = 1\ntarget_share = {TARGET_SHARE:.2f}\ncap_share = {CAP_SHARE:.2f}\n")


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"] + [
        "| " + " | ".join(str(c) for c in row) + " |" for row in rows]


def trust_report(m):
    good = [s for _, s in m.good]
    bad = [s for _, s in m.bad]
    out = [f"### {m.task} ({m.engine})", "",
           f"{m.counts['train']} episodes to train, {m.counts['validation']} to choose the epoch and to calibrate, "
           f"{m.counts['held_out']} held out; {len(m.names)} figures, {HIDDEN} hidden units. Held out: **AUC "
           f"{auc(good, bad):.4f}**; {100 * passed(good):.1f} % of the physics pass {THRESHOLD}, "
           f"{100 * passed(bad):.2f} % of the damaged copies do.", "",
           "Damaged copies of the held-out episodes, by what does not fit:", ""]
    rows = []
    for kind in KINDS + UNSEEN:
        scores = [s for k, s in m.bad + m.unseen if k == kind]
        rows.append([kind, len(scores), f"{auc(good, scores):.3f}", f"{100 * passed(scores):.1f} %",
                     "" if kind in KINDS else "not trained on"])
    out += table(["kind", "copies", "AUC", "pass", ""], rows)
    rows = []
    for key in sorted({template(p) for p, _ in m.good}):
        scores = [s for p, s in m.good if template(p) == key]
        rows.append([key, len(scores), f"{100 * passed(scores):.0f} %", f"{sum(scores) / len(scores):.3f}"])
    out += ["", "Held-out physics by conditions and course:", ""] + table(["", "episodes", "pass", "mean trust"], rows)
    rows = []
    edges = [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0000001]
    weight = len(good) / len(bad)  # both classes count the same, as in training
    for lo, hi in zip(edges, edges[1:]):
        g = [s for s in good if lo <= s < hi]
        b = [s for s in bad if lo <= s < hi]
        total = len(g) + weight * len(b)
        if total > 0:
            said = (sum(g) + weight * sum(b)) / total
            rows.append([f"{lo:.1f} to {min(hi, 1):.1f}", len(g), len(b), f"{said:.3f}", f"{len(g) / total:.3f}"])
    out += ["", "Calibration on held-out records (both classes weighted alike):", ""]
    return out + table(["trust", "physics", "damaged", "mean trust", "share of physics"], rows) + [""]


def template(p):
    tags = p["condition"].get("tags", {})
    return f"{tags.get('condition_set', '?')}/{tags.get('template', '?')}"


def passed(scores):
    return sum(s >= THRESHOLD for s in scores) / max(len(scores), 1)


def lattice_report(lattice):
    held = [(lattice.weight(r[0]), r[1] / lattice.scale) for r in lattice.rows if r[2] == 4]
    fit = [r for r in lattice.rows if r[2] < 3]
    mean = sum(r[1] for r in fit) / len(fit) / lattice.scale
    mae = sum(abs(w - y) for w, y in held) / len(held)
    constant = sum(abs(mean - y) for _, y in held) / len(held)
    novelty_off = [(lattice.weight(r[0][:3] + [lattice.novelty_unknown]), r[1] / lattice.scale)
                   for r in lattice.rows if r[2] == 4]
    out = [f"{len(fit)} episodes to fit, {len(held)} held out. Held out: mean absolute error **{mae:.3f}** against "
           f"{constant:.3f} of a constant weight ({100 * (1 - mae / constant):.0f} % less), correlation "
           f"{correlation(held):.3f}; with novelty not known, as on a robot, {correlation(novelty_off):.3f}.", ""]
    rows = [["*".join(INPUTS[i] for i in range(len(INPUTS)) if s >> i & 1) or "1", f"{m:.4f}"]
            for s, m in enumerate(lattice.masses) if m > 0]
    out += table(["term", "mass"], rows)
    used = {INPUTS[i] for s, m in enumerate(lattice.masses) if m > 0 for i in range(len(INPUTS)) if s >> i & 1}
    unused = [name for name in INPUTS if name not in used]
    if unused:
        out += ["", f"No mass was left for: {', '.join(unused)}. Fitted without the sign, it would have lowered weights "
                "or added nothing."]
    held.sort()
    fifth = max(len(held) // 5, 1)
    rows = []
    for k in range(5):
        part = held[k * fifth:(k + 1) * fifth] if k < 4 else held[4 * fifth:]
        rows.append([k + 1, len(part), f"{sum(w for w, _ in part) / len(part):.3f}",
                     f"{sum(y for _, y in part) / len(part):.3f}"])
    out += ["", "Calibration on held-out episodes, by fifths of the weight:", ""]
    return out + table(["fifth", "episodes", "mean weight", "mean worth"], rows) + [""]


def correlation(pairs):
    n = len(pairs)
    ma, mb = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    sa = math.sqrt(sum((a - ma) ** 2 for a, _ in pairs))
    sb = math.sqrt(sum((b - mb) ** 2 for _, b in pairs))
    return sum((a - ma) * (b - mb) for a, b in pairs) / (sa * sb) if sa > 0 and sb > 0 else 0.0


def report(args, inputs, by_task, models, lattice):
    out = ["# How the gates came to be", "",
           "Made by `train.py` from datapacks of physics episodes whose outcomes are known. Equal inputs and seed give "
           "equal bytes; the episodes follow from their seeds, so all of it can be made again.", "", "```"]
    out += ["# once per world; econ/drawer_vase.toml prices both",
            "drover robot --config configs/robot-sim.toml --set world.dir=worlds/WORLD --set world.set=mix \\",
            "  --set world.seed=60001 --set world.episodes=N --set world.frames_hz=0 \\",
            "  --set capture.econ_file=econ/drawer_vase.toml --set store.dir=STORE",
            "drover packs export --store STORE --out WORLD.jsonl",
            f"python3 configs/gates/train.py --out DIR --seed {args.seed} drawer_vase.jsonl dish_place.jsonl", "```", ""]
    out += table(["input", "packs", "SHA-256 of conditions, traces, energies, deltas and earnings in order of seed"], inputs)
    rows = []
    for task, packs in sorted(by_task.items()):
        for kind in sorted({template(p) for p in packs}):
            rows.append([task, kind, sum(template(p) == kind for p in packs)])
    out += [""] + table(["task", "conditions/course", "episodes"], rows)
    out += ["", "Which part an episode belongs to follows from the hash of its world, conditions and seed alone.", "", "## Trust net", "",
            "Physics against copies of it in which something does not fit, one kind each: energy or durations scaled, "
            "energies given to other joints or skills, skills in another order, the claimed result turned round, all "
            "figures jittered by 15 to 50 %, the energy of another episode, and figures drawn one by one from all "
            "episodes. Figures outside of the range seen (with a quarter of it as margin) give trust 0 before the net is "
            "asked. Two kinds are only measured: a small jitter of 5 %, which is nearly an honest copy, and conditions "
            "of another episode, which the figures hardly show. The net does not stop those; physics replay must.", ""]
    for m in models:
        out += trust_report(m)
    out += ["## Econ lattice", "",
            f"The worth of a record to others is what deployments near its conditions earned: the mean rank of "
            f"(units sold - damage - energy) per hour of its {NEIGHBOURS} nearest training episodes (offset, friction, "
            "occlusion; never itself). The "
            "lattice is fitted to that by non-negative least squares over products of calibrated inputs (calibrators: "
            "the inputs' own quantiles; even steps for the error, which is mostly none), scaled so that the mean weight is 1. Novelty is the distance to the nearest "
            "earlier episode, d / (d + median).", ""]
    out += lattice_report(lattice)
    out += ["## Lambda budget", "",
            f"Target {TARGET_SHARE:.2f} and hard cap {CAP_SHARE:.2f} are set by design, not learnt.", ""]
    return "\n".join(out)


def vectors(models, lattice, by_task):
    """Judgements for a test to compare with: the figures' sources as whole packs would be too long, so a few packs."""
    out = {"trust": [], "lattice": []}
    for m in models:
        for p in by_task[m.task][:3]:
            slim = copy.deepcopy(p)
            slim["episode_metrics"] = {}
            slim.pop("scene_tracks_v1", None)
            slim["energy_driver_tags"] = []
            slim["energy"] = {k: v for k, v in slim["energy"].items()
                              if k in ("total_Wh", "Wh_per_unit", "Wh_per_hour", "energy_per_joint",
                                       "coordination_metrics")}
            bad = damaged(random.Random(7), "energy_scaled", slim, slim)
            for one in (slim, bad):
                x = figures(one, m.skills, m.joints)
                out["trust"].append({"pack": one, "figures": x, "trust": m.judge(x)})
    for row in lattice.rows[::97]:
        x = row[0]
        out["lattice"].append({"delta_mpl": x[0], "delta_error": -x[1], "delta_ep": x[2], "novelty": x[3],
                               "weight": lattice.weight(x)})
    return out


def read_packs(paths):
    by_task, inputs = {}, []
    for path in paths:
        with open(path, "rb") as file:
            data = file.read()
        lines = [json.loads(line) for line in data.decode().splitlines() if line.strip()]
        digest = hashlib.sha256()
        for p in sorted(lines, key=moment):  # what is learnt from, without times and ids
            parts = [identity(p), p["condition"], p["skill_trace"], p["energy"], p["attribution"]["skill_contribs"],
                     [p["attribution"][key] for key in ("delta_mpl", "delta_error", "delta_ep")], p["semantic_tags"],
                     earned_usd_per_h(p)]
            digest.update(json.dumps(parts, sort_keys=True).encode())
        inputs.append([os.path.basename(path), len(lines), digest.hexdigest()])
        for p in lines:
            if p["condition"]["engine_type"] != "real" and p["skill_trace"] and p["energy"]["total_Wh"] > 0:
                by_task.setdefault(p["task_name"], []).append(p)
    for packs in by_task.values():
        packs.sort(key=moment)
    return by_task, inputs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", nargs="+", help="JSON Lines of drover packs export")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vectors", help="also write judgements for a test to compare with")
    args = parser.parse_args()
    by_task, inputs = read_packs(args.packs)
    models = []
    for task in sorted(by_task):
        engines = {p["condition"]["engine_type"] for p in by_task[task]}
        rng = random.Random(f"{args.seed}/{task}")
        models.append(train_trust(rng, task, min(engines), by_task[task]))
    lattice = train_lattice({t: by_task[t] for t in sorted(by_task)})
    files = {"trust_net.toml": trust_toml(models), "econ_lattice.toml": lattice_toml(lattice),
             "lambda_budget.toml": budget_toml()}
    manifest = ["# What the gates are: a program that finds another digest stops.", "format = 1", "", "[sha256]"]
    for name in sorted(files):
        manifest.append(f'"{name}" = "{hashlib.sha256(files[name].encode()).hexdigest()}"')
    files["manifest.toml"] = "\n".join(manifest) + "\n"
    files["REPORT.md"] = report(args, inputs, by_task, models, lattice)
    for name, text in files.items():
        with open(os.path.join(args.out, name), "w") as file:
            file.write(text)
    if args.vectors:
        with open(args.vectors, "w") as file:
            json.dump(vectors(models, lattice, by_task), file)
    print("\n".join(files["REPORT.md"].splitlines()))


if __name__ == "__main__":
    main()
