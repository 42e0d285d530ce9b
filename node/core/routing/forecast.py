"""Expected wait, speed and side effects of one more request on an engine: the heart of every bid.

Walks through the expected ends of those already decoding, with each stretch in closed form. `refill` is the share of
ended answers that new arrivals replace meanwhile (0: the engine drains; 1: it stays as full as it is).
"""

from node.core.routing.load import EngineLoad, Job
from node.core.routing.speed import Speed
from node.core.routing.types import Forecast

REFILL = 0.5
"""Fitted on the training seeds (docs/simulator.md)."""


def build_forecast(load: EngineLoad, speed: Speed, prompt: int, tokens: float) -> Forecast:
    """Forecast for a newcomer of `prompt` tokens that will generate about `tokens`."""
    wait, steps = _wait_for_room(load, speed, prompt)
    prefill = (sum(queued.prompt for queued in load.queue) + prompt) / speed.prefill_rate
    jobs = _jobs_at_start(load, steps) if steps or load.queue else load.jobs
    decode = _decode_seconds(jobs, speed, prompt, tokens)
    start = wait + prefill + speed.step_seconds(len(jobs) + 1, 0)
    return Forecast(start, decode / max(tokens, 1.0), _added_seconds(jobs, speed, prompt, tokens))


def idle_finish_seconds(speed: Speed, prompt: int, tokens: float) -> float:
    """How long the request takes on an empty engine."""
    decode = tokens * (speed.base + speed.per_sequence + speed.per_kv_token * (prompt + tokens / 2))
    return prompt / speed.prefill_rate + speed.base + decode


def _jobs_at_start(load: EngineLoad, steps: float) -> list[Job]:
    jobs = [Job(job.remaining - steps, job.context + int(steps)) for job in load.jobs if job.remaining > steps]
    if load.queue:
        jobs.extend(Job(queued.expected, queued.prompt) for queued in load.queue)
        jobs.sort()
    return jobs


def _wait_for_room(load: EngineLoad, speed: Speed, prompt: int) -> tuple[float, float]:
    """Seconds, and decode steps meanwhile, until the engine can admit everybody queued and the newcomer."""
    limits = load.limits
    held = float(load.kv_tokens)
    need = held + sum(queued.prompt for queued in load.queue) + prompt
    count = load.in_flight + 1
    if need <= limits.kv_room and count <= limits.max_sequences:
        return 0.0, 0.0
    seconds = steps = 0.0
    alive = len(load.jobs)
    for job in load.jobs:
        if need <= limits.kv_room and count <= limits.max_sequences:
            return seconds, steps
        stretch = job.remaining - steps
        seconds += stretch * speed.step_seconds(alive, held + alive * stretch / 2)
        grown = alive * stretch
        steps, held, need = job.remaining, held + grown, need + grown
        held, need = held - job.context - steps, need - job.context - steps
        alive, count = alive - 1, count - 1
    if need <= limits.kv_room and count <= limits.max_sequences:
        return seconds, steps
    return seconds + _backlog_seconds(load, speed), steps


def _backlog_seconds(load: EngineLoad, speed: Speed) -> float:
    """The queue alone overfills the engine: count whole batches of it, each as full as memory allows."""
    queue, limits = load.queue, load.limits
    tokens = sum(queued.expected for queued in queue)
    size = sum(queued.prompt + queued.expected for queued in queue) / max(len(queue), 1)
    batch = max(min(limits.kv_room / max(size, 1.0), limits.max_sequences), 1.0)
    return tokens / batch * speed.step_seconds(batch, batch * size / 2)


def _decode_seconds(jobs: list[Job], speed: Speed, prompt: int, tokens: float) -> float:
    base, per_sequence, per_kv = speed.base, speed.per_sequence, speed.per_kv_token
    alive: float = len(jobs) + 1
    held: float = sum([context for _, context in jobs]) + prompt
    seconds = done = 0.0
    leaves = 1.0 - REFILL
    for remaining, context in jobs:
        if remaining >= tokens:
            break
        stretch = remaining - done
        seconds += stretch * (base + per_sequence * alive + per_kv * (held + alive * stretch / 2))
        held += alive * stretch - (context + remaining) * leaves
        alive -= leaves
        done = remaining
    stretch = tokens - done
    return seconds + stretch * (base + per_sequence * alive + per_kv * (held + alive * stretch / 2))


def _added_seconds(jobs: list[Job], speed: Speed, prompt: int, tokens: float) -> float:
    """The newcomer lengthens every step it shares with another, and its prefill holds up all of them once."""
    shared = quadratic = 0.0
    for remaining, _ in jobs:
        overlap = min(remaining, tokens)
        shared += overlap
        quadratic += overlap * overlap
    steps = shared * (speed.per_sequence + speed.per_kv_token * prompt) + quadratic * speed.per_kv_token / 2
    return steps + len(jobs) * prompt / speed.prefill_rate
