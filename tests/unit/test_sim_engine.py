"""The closed-form engine gives the same times as a simulation of every single step."""

from random import Random

import pytest

from node.core.routing.load import EngineLimits
from node.core.routing.speed import Speed
from node.sim.engine import Engine, Work
from node.sim.kernel import Kernel
from node.sim.profiles import EngineProfile, build_profile, parse_profile

pytestmark = pytest.mark.unit

SPEED = Speed(0.02, 1e-4, 1e-6, 5_000.0)


class Notes:
    def __init__(self, kernel):
        self.kernel, self.first, self.done, self.steps, self.rooms = kernel, {}, {}, [], 0

    def on_first_token(self, work):
        self.first[work.key] = self.kernel.now

    def on_done(self, work):
        self.done[work.key] = self.kernel.now

    def on_room(self):
        self.rooms += 1

    def on_steps(self, step_seconds, sequences, kv_tokens):
        self.steps.append((step_seconds, sequences, kv_tokens))


def make_engine(kv_room=10_000, max_sequences=8, chunk=512):
    kernel = Kernel()
    notes = Notes(kernel)
    profile = EngineProfile("test", "m", SPEED, EngineLimits(kv_room, max_sequences, chunk))
    return kernel, Engine(kernel, profile, notes), notes


def step_by_step(arrivals, limits):  # noqa: C901, PLR0912  # a reference is best read in one piece
    """The reference: one loop turn a step, no closed forms. arrivals: (at, prompt, tokens)."""
    todo = sorted((at, key, prompt, tokens) for key, (at, prompt, tokens) in enumerate(arrivals))
    now, waiting, prefill, running, done = 0.0, [], [], [], {}
    while todo or waiting or prefill or running:
        if not waiting and not prefill and not running:
            now = max(now, todo[0][0])
        while todo and todo[0][0] <= now + 1e-9:
            _, key, prompt, tokens = todo.pop(0)
            waiting.append({"key": key, "prompt": prompt, "tokens": tokens, "made": 0})
        held = sum(w["prompt"] + w["made"] for w in running) + sum(w["prompt"] for w in prefill)
        while waiting:
            alone = not running and not prefill
            crowded = len(running) + len(prefill) >= limits.max_sequences
            if not alone and (crowded or held + waiting[0]["prompt"] > limits.kv_room):
                break
            work = waiting.pop(0)
            work["left"] = work["prompt"]
            held += work["prompt"]
            prefill.append(work)
        batch = len(running)
        seconds = batch * SPEED.per_sequence + SPEED.per_kv_token * held
        if prefill:
            budget = max(limits.chunk - batch, 1)
            taken = []
            for work in prefill:
                if taken and sum(t for _, t in taken) + work["left"] > budget:
                    break
                taken.append((work, min(work["left"], budget)))
                if work["left"] > budget:
                    break
            tokens = sum(t for _, t in taken)
            now += max(SPEED.base, tokens / SPEED.prefill_rate) + seconds
            for work, part in taken:
                work["left"] -= part
            finished = [work for work, _ in taken if work["left"] <= 0]
        else:
            now += SPEED.base + seconds
            finished = []
        for work in running:
            work["made"] += 1
        for work in finished:
            prefill.remove(work)
            work["made"] = 1
            running.append(work)
        for work in [w for w in running if w["made"] >= w["tokens"]]:
            running.remove(work)
            done[work["key"]] = now
    return done


def test_engine__one_request_alone__takes_prefill_plus_its_steps():
    kernel, engine, notes = make_engine()
    engine.submit(Work("a", 100, 11))
    kernel.run()
    first = max(SPEED.base, 100 / SPEED.prefill_rate) + 100 * SPEED.per_kv_token
    decode = sum(SPEED.step_seconds(1, 101 + step) for step in range(10))
    assert notes.first["a"] == pytest.approx(first)
    assert notes.done["a"] == pytest.approx(first + decode)


def test_engine__one_token_answer__ends_with_its_prefill():
    kernel, engine, notes = make_engine()
    engine.submit(Work("a", 10, 1))
    kernel.run()
    assert notes.done == notes.first
    assert engine.held == 0


@pytest.mark.parametrize("seed", range(8))
def test_engine__random_arrivals_short_prompts__ends_as_the_step_by_step_reference(seed):
    dice = Random(seed)
    kernel, engine, notes = make_engine(kv_room=100_000, max_sequences=6)
    at, arrivals = 0.0, []
    for _ in range(40):
        at += dice.expovariate(2.0)
        arrivals.append((at, dice.randint(1, 60), dice.randint(1, 120)))
    for key, (when, prompt, tokens) in enumerate(arrivals):
        kernel.at(when, engine.submit, Work(key, prompt, tokens))
    kernel.run()
    expected = step_by_step(arrivals, engine.limits)
    assert notes.done.keys() == expected.keys()
    for key, when in expected.items():
        assert notes.done[key] == pytest.approx(when, abs=0.02), key


@pytest.mark.parametrize("seed", range(4))
def test_engine__random_arrivals_long_prompts__close_to_the_reference(seed):
    dice = Random(100 + seed)
    kernel, engine, notes = make_engine(kv_room=100_000, max_sequences=6)
    arrivals = [(float(index) * 0.7, dice.randint(100, 2_000), dice.randint(1, 90)) for index in range(30)]
    for key, (when, prompt, tokens) in enumerate(arrivals):
        kernel.at(when, engine.submit, Work(key, prompt, tokens))
    kernel.run()
    expected = step_by_step(arrivals, engine.limits)
    errors = [abs(notes.done[key] - when) / when for key, when in expected.items()]
    assert max(errors) < 0.08  # prompts are packed into chunks whole here, in parts there
    assert sum(errors) / len(errors) < 0.015


def test_engine__memory_runs_out__preempts_the_newest_and_still_ends_all():
    kernel, engine, notes = make_engine(kv_room=300)
    for key in range(4):
        engine.submit(Work(key, 50, 100))
    kernel.run()
    assert engine.preemptions > 0
    assert sorted(notes.done) == [0, 1, 2, 3]
    assert min(notes.done.values()) == notes.done[0]
    assert engine.held == 0


def test_engine__more_than_its_places__queues_the_rest():
    kernel, engine, notes = make_engine(max_sequences=2)
    for key in range(3):
        engine.submit(Work(key, 10, 50))
    kernel.run(until=0.5)
    assert (len(engine.running), len(engine.waiting), engine.in_flight) == (2, 1, 3)
    kernel.run()
    assert notes.done[2] > notes.done[1]


def test_engine__cancelled_while_decoding__leaves_and_frees_its_memory():
    kernel, engine, notes = make_engine()
    work = Work("a", 10, 1_000)
    engine.submit(work)
    engine.submit(Work("b", 10, 20))
    kernel.run(until=0.2)
    engine.cancel(work)
    kernel.run()
    assert list(notes.done) == ["b"]
    assert (engine.held, engine.in_flight) == (0, 0)
    assert kernel.now < 2.0


@pytest.mark.parametrize("busy", [True, False])
def test_engine__cancelled_before_decoding__never_runs(busy):
    kernel, engine, notes = make_engine(max_sequences=1)
    if busy:
        engine.submit(Work("b", 10, 20))
    work = Work("a", 10, 1_000)
    engine.submit(work)
    engine.cancel(work)
    kernel.run()
    assert "a" not in notes.done
    assert engine.held == 0


def test_engine__dies__returns_everything_and_falls_silent():
    kernel, engine, notes = make_engine(max_sequences=2)
    for key in range(3):
        engine.submit(Work(key, 10, 50))
    kernel.run(until=0.3)
    lost = engine.fail()
    kernel.run()
    assert sorted(work.key for work in lost) == [0, 1, 2]
    assert notes.done == {}


def test_engine__observed_steps__follow_the_law():
    kernel, engine, notes = make_engine()
    engine.submit(Work("a", 100, 200))
    kernel.run()
    seconds, sequences, kv_tokens = notes.steps[0]
    assert seconds == pytest.approx(SPEED.step_seconds(sequences, kv_tokens), rel=1e-3)


def test_engine__twin__runs_ahead_without_touching_the_original():
    kernel, engine, notes = make_engine()
    for key in range(3):
        engine.submit(Work(key, 30, 60))
    kernel.run(until=0.4)
    ahead = Kernel()
    foreseen = Notes(ahead)
    twin = Engine(ahead, EngineProfile("t", "m", SPEED, engine.limits), foreseen)
    engine.copy_into(twin)
    ahead.run()
    assert notes.done == {}
    now = kernel.now
    kernel.run()
    for key, when in notes.done.items():
        assert now + foreseen.done[key] == pytest.approx(when, abs=0.03)


def test_build_profile__fitted_gpu__has_the_published_step():
    speed = build_profile("RTX 4090", "Llama-3.1-8B").speed
    assert speed.step_seconds(1, 1_000) * 1e3 == pytest.approx(16.98 + 0.054 + 0.1385)


@pytest.mark.parametrize(("gpu", "room"), [("RTX 3090", 32_000), ("RTX 6000 Ada", 186_000), ("A100", 391_000)])
def test_build_profile__kv_room__near_the_published(gpu, room):
    assert build_profile(gpu, "Qwen3-8B").limits.kv_room == pytest.approx(room, rel=0.07)


def test_parse_profile__any_case__finds_it_and_unknown_names_what_exists():
    assert parse_profile("rtx 4090/llama-3.1-8b") == build_profile("RTX 4090", "Llama-3.1-8B")
    with pytest.raises(ValueError, match="RTX 4090"):
        parse_profile("abacus / Llama-3.1-8B")
