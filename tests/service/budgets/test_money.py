"""Money is exact, and prices are what the table says."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyterhub_agents.service.budgets.money import MAX_DOLLARS, NANOS, dollars, nanos, shown
from jupyterhub_agents.service.budgets.prices import KINDS, MAX_PROMPT_TOKENS, Prices
from jupyterhub_agents.service.gateway.meter import Usage

PRICES = Prices.load()
AMOUNTS = st.integers(0, MAX_DOLLARS * NANOS)
TOKENS = st.integers(0, 2_000_000)
USAGES = st.builds(
    Usage,
    input_tokens=TOKENS, output_tokens=TOKENS, cache_creation_input_tokens=TOKENS,
    cache_creation_1h_input_tokens=TOKENS, cache_read_input_tokens=TOKENS, server_tool_requests=st.integers(0, 100),
)  # fmt: skip
MODELS = st.sampled_from([*PRICES.families, "somebody-elses-model", ""])
MTOK = 1_000_000


@given(AMOUNTS)
def test_an_amount_is_the_same_after_it_was_written_and_read(amount: int) -> None:
    assert nanos(dollars(amount)) == amount
    assert Decimal(dollars(amount)) == Decimal(amount) / NANOS


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_what_is_no_amount_is_refused_and_never_rounded(value: Decimal) -> None:
    try:
        amount = nanos(value)
    except ValueError:
        return
    assert Decimal(amount) == value * NANOS


@given(st.lists(AMOUNTS, max_size=50))
def test_cents_for_a_sentence_are_at_most_half_a_cent_off(amounts: list[int]) -> None:
    for amount in amounts:
        text = shown(amount)
        if text == "under $0.01":
            assert 0 < amount < NANOS // 100
        else:
            assert abs(Decimal(text.replace("$", "").replace(",", "")) * NANOS - amount) * 200 <= NANOS


@given(MODELS, USAGES)
def test_no_call_that_used_something_is_free_and_none_costs_less_than_nothing(model: str, usage: Usage) -> None:
    cost = PRICES.cost(model, usage)
    used = usage.input_tokens or usage.output_tokens or usage.cache_creation_input_tokens
    used = used or usage.cache_read_input_tokens or usage.server_tool_requests
    assert cost > 0 if used else cost == 0


@given(MODELS, st.integers(0, 1_000_000), TOKENS, st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_no_split_of_a_prompt_costs_more_than_the_most(
    model: str, prompt: int, output: int, shares: list[float]
) -> None:
    written = int(prompt * shares[0])
    read = int((prompt - written) * shares[1])
    usage = Usage(
        input_tokens=prompt - written - read, output_tokens=output, cache_creation_input_tokens=written,
        cache_creation_1h_input_tokens=int(written * shares[2]), cache_read_input_tokens=read,
    )  # fmt: skip
    assert PRICES.cost(model, usage) <= PRICES.most(model, prompt, output)


def test_the_table_says_when_and_where_it_was_read() -> None:
    assert PRICES.date == "2026-10-24"
    assert PRICES.source.startswith("https://platform.claude.com/")


@pytest.mark.parametrize("family", PRICES.families)
def test_the_table_agrees_with_itself(family: str) -> None:
    """Every price list of the API has had these proportions; a slip of the hand has not."""
    price = PRICES.families[family]
    for one in (price, price.over):
        if one is not None:
            assert 4 * one.cache_write_5m == 5 * one.input
            assert one.cache_write_1h == 2 * one.input
            assert one.cache_read in (one.input // 10, one.input // 20, one.input // 40)
            assert one.output >= 3 * one.input
    if price.over is not None:
        assert price.over_tokens is not None
        assert 0 < price.over_tokens < MAX_PROMPT_TOKENS
        for kind in KINDS:
            assert getattr(price.over, kind) > getattr(price, kind)


def test_no_known_model_costs_more_than_an_unknown_one() -> None:
    unknown = PRICES.of("somebody-elses-model")
    for family in PRICES.families:
        price = PRICES.of(family)
        for one in (price, price.over or price):
            assert all(getattr(one, kind) <= getattr(unknown, kind) for kind in KINDS), family


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-opus-4-5-20251101", "claude-opus-4-5"), ("claude-opus-4-5@20251101", "claude-opus-4-5"),
        ("claude-opus-4-1", "claude-opus-4"), ("us.anthropic.claude-haiku-4-5-v1:0", "claude-haiku-4-5"),
        ("claude-sonnet-5-5[1m]", "claude-sonnet-5-5"), ("claude-sonnet-5", "claude-sonnet-5"),
        ("claude-sonnet-50", None), ("gpt-9", None),
    ],
)  # fmt: skip
def test_a_model_belongs_to_the_family_with_the_longest_name(model: str, family: str | None) -> None:
    assert PRICES.family(model) == family


def test_each_kind_of_token_has_its_price() -> None:
    usage = Usage(MTOK // 20, MTOK, MTOK // 50, MTOK // 100, MTOK // 100, 3)
    # 50k input at 4, 1M output at 20, 10k writes at 5 and 10k at 8, 10k reads at 0.20, three searches at a cent
    assert dollars(PRICES.cost("claude-opus-5-5", usage)) == "20.362"


def test_a_long_prompt_has_the_price_of_long_prompts_for_all_its_tokens() -> None:
    short = PRICES.cost("claude-haiku-5-5", Usage(input_tokens=100_000, output_tokens=1000))
    long = PRICES.cost("claude-haiku-5-5", Usage(input_tokens=1, cache_read_input_tokens=100_000, output_tokens=1000))
    assert (dollars(short), dollars(long)) == ("0.0105", "0.0075005")


def test_an_unknown_model_costs_what_the_dearest_does() -> None:
    usage = Usage(MTOK, MTOK)
    assert dollars(PRICES.cost("somebody-elses-model", usage)) == "90.00"
    price = {"input": 1, "output": 2, "cache_write_5m": 1, "cache_write_1h": 1, "cache_read": 1}
    assert dollars(Prices.load(unknown=price).cost("somebody-elses-model", usage)) == "3.00"


def test_a_site_overrides_a_price_in_part() -> None:
    prices = Prices.load({"claude-opus-5-5": {"input": 3.6}, "server_tool_request": "0.02"})
    assert dollars(prices.cost("claude-opus-5-5", Usage(MTOK, MTOK, server_tool_requests=1))) == "23.62"


@pytest.mark.parametrize(
    "overrides",
    [
        {"ours": {"input": 1}}, {"claude-opus-5-5": {"inptu": 1}}, {"claude-opus-5-5": {"input": -1}},
        {"claude-opus-5-5": {"input": "0.0001"}}, {"claude-opus-5-5": {"input": 0, "output": 0}},
        {"claude-opus-5-5": {"over": {"input": 1}}},
    ],
)  # fmt: skip
def test_a_wrong_price_is_named(overrides: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ValueError, match=next(iter(overrides))):
        Prices.load(overrides)
