"""The substitution audit: what two runs say of one model, its error rates, odd replies, the command."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from typer.testing import CliRunner

from node.cli import reexecute as command
from node.core.errors import BadConfig, EngineFailed
from node.core.judging.substitution import RULE, TOLERANCES, Likeness, Step, compare, found, steps_of
from node.services.reexecution import Bought, Rerun, Wish, buy_all, requests_for, rerun
from tests.fakes.engine_stub import running_stub
from tests.judging.test_judging import ANYTHING
from tests.judging.toy_model import ToyEngine

EXACT, LOOSE = TOLERANCES["exact"], TOLERANCES["loose"]
QUESTIONS = ("what is the moon", "what is a river", "tell me of light")


def dice(size: int) -> bytes:
    return random.Random(5).randbytes(size)


def steps(*logprobs: float, words: str = "abcdefghijklmnop") -> list[Step]:
    return [Step(word, one, {word: one, "z": -5.0}) for word, one in zip(words, logprobs, strict=False)]


async def audited(seller: ToyEngine, reference: ToyEngine, tolerance: str, answers: int = 40) -> list[Rerun]:
    wish = Wish("toy", QUESTIONS, answers, 24)
    random.seed(3)
    requests = requests_for(wish, random.randbytes)
    return [await rerun(reference, "toy", one, TOLERANCES[tolerance]) async for one in buy_all(seller, requests)]


def likenesses(rows: list[Rerun]) -> list[Likeness]:
    return [row.comparison.likeness for row in rows]


# --------------------------------------------------------------------------------------------------------- one answer
def test_compare__the_same_tokens_within_the_tolerance__are_the_same() -> None:
    one = compare(steps(*[-1.0] * 10), steps(*[-1.0005] * 10), EXACT, has_chance=True)
    assert (one.likeness, one.compared, one.is_same_text) == (Likeness.SAME, 10, True)
    assert one.most == pytest.approx(0.0005)


def test_compare__one_token_beyond_the_tolerance__is_different() -> None:
    assert compare(steps(*[-1.0] * 10), steps(*[-1.0] * 9, -1.01), EXACT).likeness is Likeness.DIFFERENT
    assert compare(steps(*[-1.0] * 10), steps(*[-1.0] * 9, -1.01), LOOSE).likeness is Likeness.SAME
    assert compare(steps(*[-1.0] * 10), steps(*[-1.2] * 10), LOOSE).likeness is Likeness.DIFFERENT


def test_compare__parted_by_chance__is_different_only_where_one_seed_draws_the_same() -> None:
    said, ours = steps(*[-1.0] * 10), steps(*[-1.0] * 9)
    ours.append(Step("z", -0.5, {"z": -0.5, "j": -1.0}))
    assert compare(said, ours, EXACT, has_chance=True).likeness is Likeness.DIFFERENT
    loose = compare(said, ours, LOOSE, has_chance=True)
    assert (loose.likeness, loose.compared, loose.is_same_text) == (Likeness.SAME, 10, False)


def test_compare__parted_without_chance__the_reference_must_have_been_in_two_minds() -> None:
    """Who lies about its log-probabilities still said a token that the model would not have said."""
    said = steps(*[-1.0] * 9)
    for gap, likeness in ((0.0005, Likeness.SAME), (0.01, Likeness.DIFFERENT)):
        ours = [*steps(*[-1.0] * 8), Step("z", -1.0 + gap, {"z": -1.0 + gap, "i": -1.0})]
        assert compare(said, ours, EXACT).likeness is likeness


def test_compare__a_token_the_reference_does_not_list__counts_as_the_least_likely_listed() -> None:
    said = [*steps(*[-1.0] * 8), Step("y", -0.1, {"y": -0.1})]
    ours = [*steps(*[-1.0] * 8), Step("z", -0.2, {"z": -0.2, "q": -6.0})]
    assert compare(said, ours, LOOSE, has_chance=True).most == pytest.approx(5.9)
    bare = [*steps(*[-1.0] * 8), Step("z", -0.2, {})]
    assert compare(said, bare, LOOSE, has_chance=True).compared == 8


def test_compare__parted_early_or_without_logprobs__is_unclear() -> None:
    said, ours = steps(-1.0, -1.0, -1.0), [*steps(-1.0, -1.0), Step("z", -1.0, {"z": -1.0, "c": -1.0})]
    assert compare(said, ours, LOOSE, has_chance=True).likeness is Likeness.UNCLEAR
    for missing in (compare([], ours, EXACT, has_chance=True), compare(said, [], EXACT, has_chance=True)):
        assert missing.likeness is Likeness.UNCLEAR


# ------------------------------------------------------------------------------------------------------- many answers
@pytest.mark.parametrize("tolerance", ["exact", "loose"])
async def test_audit__the_same_model__every_answer_is_the_same(tolerance: str) -> None:
    rows = await audited(ToyEngine(), ToyEngine(), tolerance)
    assert likenesses(rows) == [Likeness.SAME] * 40
    assert found(likenesses(rows)) is Likeness.SAME


async def test_audit__the_same_model_on_another_processor__is_the_same_by_the_loose_tolerance_alone() -> None:
    rows = await audited(ToyEngine(blur=0.05), ToyEngine(blur=0.05), "loose")
    assert found(likenesses(rows)) is Likeness.SAME
    assert likenesses(rows).count(Likeness.DIFFERENT) <= 1
    rows = await audited(ToyEngine(blur=0.05), ToyEngine(blur=0.05), "exact")
    assert found(likenesses(rows)) is Likeness.DIFFERENT


@pytest.mark.parametrize(("flaw", "tolerance"), [(0.05, "exact"), (0.5, "exact"), (0.5, "loose"), (2.0, "loose")])
async def test_audit__another_model__is_different(flaw: float, tolerance: str) -> None:
    rows = await audited(ToyEngine(flaw=flaw), ToyEngine(), tolerance)
    assert found(likenesses(rows)) is Likeness.DIFFERENT
    assert likenesses(rows).count(Likeness.DIFFERENT) > 20


async def test_audit__a_provider_that_cuts_answers_short__is_compared_as_far_as_it_said() -> None:
    class Miser(ToyEngine):
        def reply(self, fields: dict) -> dict:
            return super().reply({**fields, "max_tokens": 10})

    rows = await audited(Miser(), ToyEngine(), "exact", answers=4)
    assert likenesses(rows) == [Likeness.SAME] * 4
    assert {row.comparison.compared for row in rows} == {10}


@pytest.mark.parametrize(("agrees", "wrong", "most"), [(0.95, Likeness.DIFFERENT, 0.01), (0.5, Likeness.SAME, 0.05)])
def test_found__at_the_stated_rates__errs_no_oftener_than_stated(agrees: float, wrong: Likeness, most: float) -> None:
    """Simulated: a provider exactly at the edge of what the rule promises."""
    chance, runs = random.Random(1), 20_000
    errors = 0
    for _ in range(runs):
        errors += found(Likeness.SAME if chance.random() < agrees else Likeness.DIFFERENT for _ in range(60)) is wrong
    assert 0 < errors / runs <= most
    assert (RULE.convict_honest, RULE.clear_poor) == (0.01, 0.05)


def test_found__unclear_answers__decide_nothing() -> None:
    assert found([Likeness.UNCLEAR] * 50) is Likeness.UNCLEAR
    assert found([Likeness.DIFFERENT, Likeness.UNCLEAR, Likeness.DIFFERENT]) is Likeness.DIFFERENT
    assert found([Likeness.SAME] * 5 + [Likeness.DIFFERENT] * 9) is Likeness.SAME, "the test ended before"


# -------------------------------------------------------------------------------------------------------- odd replies
@given(ANYTHING)
def test_steps__any_json__never_raise(value: object) -> None:
    assert steps_of(value) == ()
    assert steps_of({"choices": [{"logprobs": {"content": [value]}}]}) == ()


@pytest.mark.parametrize("logprob", [True, "x", None, float("nan")])
def test_steps__one_row_without_a_number__are_none_at_all(logprob: object) -> None:
    good = {"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "a", "logprob": -1.0}, 5]}
    reply = {"choices": [{"logprobs": {"content": [good, {"token": "b", "logprob": logprob}]}}]}
    assert steps_of(reply) == ()
    del reply["choices"][0]["logprobs"]["content"][1]
    assert steps_of(reply) == (Step("a", -1.0, {"a": -1.0}),)


async def test_rerun__an_answer_without_logprobs__asks_the_reference_nothing() -> None:
    (request,) = requests_for(Wish("toy", QUESTIONS, 1, 8), dice)
    reference = ToyEngine()
    row = await rerun(reference, "toy", Bought(request, {"choices": [{"message": {"content": "hm"}}]}), EXACT)
    assert (row.comparison.likeness, row.answer, reference.bodies) == (Likeness.UNCLEAR, "hm", [])


async def test_rerun__the_reference_is_told_the_request_and_nothing_of_the_market() -> None:
    (request,) = requests_for(Wish("toy", QUESTIONS, 1, 8, provider="0xabc"), dice)
    assert request["wwwserve"] == {"providers": ["0xabc"]}
    reference = ToyEngine()
    bought = {**request, "max_completion_tokens": 8, "stream": False}
    await rerun(reference, "mine", Bought(bought, ToyEngine().reply(request)), EXACT)
    assert reference.bodies == [{**{k: v for k, v in request.items() if k != "wwwserve"}, "model": "mine"}]


@pytest.mark.parametrize("change", [{"messages": None}, {"temperature": 1, "seed": None}, {"logprobs": False}])
async def test_rerun__a_request_nobody_could_repeat__is_refused(change: dict[str, Any]) -> None:
    (request,) = requests_for(Wish("toy", QUESTIONS, 1, 8), dice)
    with pytest.raises(BadConfig):
        await rerun(ToyEngine(), "toy", Bought({**request, **change}, {}), EXACT)


async def test_rerun__the_reference_refuses__raises() -> None:
    (request,) = requests_for(Wish("toy", QUESTIONS, 1, 8), dice)
    reference = ToyEngine()
    reference.status = 503
    with pytest.raises(EngineFailed):
        await rerun(reference, "toy", Bought(request, ToyEngine().reply(request)), EXACT)


# -------------------------------------------------------------------------------------------------------- the command
def saved(file: Path, seller: ToyEngine, answers: int = 12) -> Path:
    random.seed(3)
    rows = requests_for(Wish("toy", QUESTIONS, answers, 24), random.randbytes)
    file.write_text("".join(json.dumps({"request": row, "answer": seller.reply(row)}) + "\n" for row in rows))
    return file


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    class Here(ToyEngine):
        def __init__(self, _settings: object) -> None:
            super().__init__()

        def close(self) -> None:
            pass

    monkeypatch.setattr(command, "HttpEngine", Here)


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(command.app, ["--reference", "http://127.0.0.1:1", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.mark.usefixtures("reference")
def test_command__saved_answers_of_another_model__exits_1_with_a_table_or_json(tmp_path: Path) -> None:
    code, said = invoke("--saved", saved(tmp_path / "a", ToyEngine(flaw=0.5)))
    assert code == 1
    assert "different: 0 same, 12 different, 0 unclear" in said
    code, said = invoke("--saved", saved(tmp_path / "b", ToyEngine()), "--json")
    shown = json.loads(said)
    assert (code, shown["verdict"], shown["same"], len(shown["rows"])) == (0, "same", 12, 12)
    assert shown["rows"][0]["tokens_compared"] == 24


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--bought", "http://127.0.0.1:2", "--saved", "{}/a"),
        ("--bought", "http://127.0.0.1:2"),
        ("--bought", "http://127.0.0.1:2", "--model", "m", "--questions", "{}/a", "--api-key-file", "{}/none"),
        ("--bought", "http://127.0.0.1:2", "--model", "m", "--questions", "{}/none", "--api-key-file", "{}/a"),
        ("--saved", "{}/none"),
        ("--saved", "{}/empty"),
        ("--saved", "{}/list"),
        ("--saved", "{}/a", "--tolerance", "huge"),
    ],
)
def test_command__what_cannot_be_run__is_one_sentence_and_exit_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    saved(tmp_path / "a", ToyEngine())
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "list").write_text("[1]\n")
    code, said = invoke(*(one.format(tmp_path) for one in arguments))
    assert code == 2
    assert "error:" in said
    assert "Traceback" not in said


async def test_bought__over_http__are_kept_and_run_again(tmp_path: Path) -> None:
    """The stub's log-probabilities are a function of the token, so two stubs are one model."""
    key, questions, kept = tmp_path / "key", tmp_path / "questions", tmp_path / "kept"
    key.write_text("wws-test\n")
    key.chmod(0o600)
    questions.write_text("\n".join(QUESTIONS))
    async with running_stub() as stub:
        source = command.Source(stub.base_url, key, questions, None, kept)
        bought = [one async for one in command._bought(source, Wish("stub", (), 4, 12))]
        assert [row.request for row in command.read_saved(kept)] == [row.request for row in bought]
        assert stub.received[0][1]["Authorization"] == "Bearer wws-test"
        engine = command.HttpEngine(command.EngineSettings(stub.base_url))
        rows = [await rerun(engine, "stub", one, EXACT) for one in bought]
        engine.close()
    assert likenesses(rows) == [Likeness.SAME] * 4
    assert rows[0].answer
