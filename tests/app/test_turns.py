"""Turns: fair among addresses, visitors and pages; nobody starves, nothing leaks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxyspex_hf.app.presence import Client
from proxyspex_hf.app.turns import Busy, Turn, Turns


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def served(turns: Turns) -> list[str]:
    """The pages in the order in which they run, each ended at once."""
    order = []
    while running := [t.page for t in turns._turns.values() if t.state == "running"]:
        order.append(running[0])
        turns.leave(running[0])
    return order


def test_whoever_asks_for_much_waits_behind_themselves() -> None:
    turns = Turns(places=1, each=100, near=1000)
    for i in range(40):
        turns.ask(Client("1.1.1.1", "greedy"), f"g{i}")
    turns.ask(Client("2.2.2.2", "a"), "a0")
    turns.ask(Client("2.2.2.2", "a"), "a1")
    turns.ask(Client("3.3.3.3", "b"), "b0")
    assert served(turns)[:6] == ["g0", "g1", "a0", "b0", "g2", "a1"]


def test_visitors_of_one_address_take_turns_too() -> None:
    turns = Turns(places=1, each=100)
    for i in range(10):
        turns.ask(Client("", "greedy"), f"g{i}")
    turns.ask(Client("", "a"), "a0")
    assert served(turns)[:3] == ["g0", "g1", "a0"]


def test_addresses_with_many_visitors_get_no_more() -> None:
    turns = Turns(places=1, near=50)
    for i in range(30):
        turns.ask(Client("1.1.1.1", f"v{i}"), f"v{i}")
    turns.ask(Client("2.2.2.2", "a"), "a0")
    assert served(turns).index("a0") == 2


def test_a_full_house_gives_the_newcomer_a_place_of_who_holds_most() -> None:
    turns = Turns(places=1, waiting=10, each=100, near=1000)
    held = [turns.ask(Client("1.1.1.1", "greedy"), f"g{i}") for i in range(11)]
    turn = turns.ask(Client("2.2.2.2", "a"), "a0")
    assert turns.place(turn) == 2
    assert held[-1].state == "over"
    assert "went to somebody who had none" in held[-1].reason
    assert [t.state for t in held[1:-1]] == ["waiting"] * 9


def test_a_house_full_of_equals_says_the_place_and_the_time() -> None:
    clock = Clock()
    turns = Turns(places=2, waiting=10, clock=clock)
    for i in range(12):
        turns.ask(Client(f"1.1.1.{i}", f"v{i}"), f"p{i}")
    clock.now = 60.0
    turns.leave("p0")
    turns.ask(Client("1.1.1.0", "v0"), "p0")
    with pytest.raises(Busy, match=r"all 10 places .* yours would be number 11, about 6 min"):
        turns.ask(Client("9.9.9.9", "late"), "late")
    assert turns.counts == (2, 10)


def test_where_a_turn_stands_is_said_in_words() -> None:
    clock = Clock()
    turns = Turns(places=1, clock=clock)
    turns.ask(Client("1", "a"), "a")
    b, c = (turns.ask(Client("2", name), name) for name in "bc")
    assert turns.said(c) == "waiting for a free place: 2 of 2"
    clock.now = 30.0
    turns.leave("a")
    assert (b.state, c.state) == ("running", "waiting")
    assert turns.said(c) == "waiting for a free place: 1 of 1, about 30 s"


@pytest.mark.parametrize(
    ("clients", "said"),
    [
        ([("1", "v")] * 5, "you have 4 runs"),
        ([("1", f"v{i}") for i in range(25)], "24 runs go on or wait for people at your address"),
    ],
)
def test_each_visitor_and_each_address_has_a_limit(
    clients: list[tuple[str, str]], said: str
) -> None:
    turns = Turns()
    *first, last = [(Client(*client), str(i)) for i, client in enumerate(clients)]
    for client, page in first:
        turns.ask(client, page)
    with pytest.raises(Busy, match=said):
        turns.ask(*last)


def test_this_machines_own_visitors_are_not_one_address() -> None:
    turns = Turns()
    for i in range(50):
        turns.ask(Client("", f"v{i}"), f"p{i}")
    assert turns.counts == (2, 48)


def test_a_page_has_one_turn() -> None:
    turns = Turns()
    turns.ask(Client("1", "v"), "p")
    with pytest.raises(Busy, match="this page has a run already"):
        turns.ask(Client("1", "v"), "p")
    turns.leave("p")
    turns.leave("p")
    turns.leave(None)
    assert turns.ask(Client("1", "v"), "p").state == "running"


@given(st.permutations(list(range(6))), st.integers(0, 5))
def test_who_leaves_frees_the_place_at_once(order: list[int], running: int) -> None:
    turns = Turns(places=1)
    for i in range(6):
        turns.ask(Client(str(i), str(i)), str(i))
    left = set()
    for i in order:
        turns.leave(str(i))
        left.add(i)
        now = [t.page for t in turns._turns.values() if t.state == "running"]
        assert len(now) == (1 if len(left) < 6 else 0)
        assert turns.counts == (len(now), 6 - len(left) - len(now))
    assert not turns._ring


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=40),
    st.integers(1, 3),
)
def test_the_place_that_is_said_is_the_order_in_which_they_run(
    asked: list[tuple[int, int]], places: int
) -> None:
    turns = Turns(places=1, each=100, near=100, each_runs=places)
    all_turns = [
        turns.ask(Client(str(address), f"{address}-{visitor}"), str(i))
        for i, (address, visitor) in enumerate(asked)
    ]
    said = sorted((turns.place(t), t.page) for t in all_turns)
    assert [page for _, page in said] == served(turns)


class Crowd(RuleBasedStateMachine):
    """People who ask, leave and come back; whoever waits is served within a bound."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns(places=2, waiting=8, each=4, near=6)
        self.mine: dict[str, Turn] = {}
        self.bound: dict[str, int] = {}
        self.made = 0

    @rule(address=st.sampled_from(["", "1", "2", "3"]), visitor=st.integers(0, 3))
    def ask(self, address: str, visitor: int) -> None:
        page, self.made = f"p{self.made}", self.made + 1
        try:
            turn = self.turns.ask(Client(address, f"{address}/{visitor}"), page)
        except Busy:
            return
        self.mine[page] = turn
        # Others go before it once for each of its own that wait already, and no more.
        self.bound[page] = 8 * (1 + self.turns.counts[1])

    @rule(choice=st.integers(0, 100))
    def end(self, choice: int) -> None:
        running = [page for page, turn in self.mine.items() if turn.state == "running"]
        if not running:
            return
        self.turns.leave(running[choice % len(running)])
        for page, turn in self.mine.items():
            if turn.state == "waiting":
                self.bound[page] -= 1
                assert self.bound[page] >= 0, "it starves"

    @rule(choice=st.integers(0, 100))
    def go(self, choice: int) -> None:
        waiting = [page for page, turn in self.mine.items() if turn.state == "waiting"]
        if waiting:
            self.turns.leave(waiting[choice % len(waiting)])

    @invariant()
    def places_are_used_and_bounded(self) -> None:
        running, waiting = self.turns.counts
        assert running <= 2
        assert waiting <= 8
        states = [turn.state for turn in self.mine.values()]
        assert (states.count("running"), states.count("waiting")) == (running, waiting)
        in_ring = [p for v in self.turns._ring.values() for pages in v.values() for p in pages]
        assert len(in_ring) == waiting
        held = {t.client.visitor for t in self.mine.values() if t.state == "running"}
        others = {t.client.visitor for t in self.mine.values() if t.state == "waiting"} - held
        assert running == 2 or not others  # no place is empty while one may use it


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
