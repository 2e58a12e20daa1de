"""What a stream tells: each notice to the user's callback, and what that raises to the reader."""

from __future__ import annotations

from clocks import FakeClock

from rawlogs.notices import Notice
from rawlogs.status.notifier import Notifier


def test_a_notice_has_its_kind_its_text_its_facts_and_the_time() -> None:
    told: list[Notice] = []
    clock = FakeClock()
    Notifier(told.append, clock, lambda error: None).notify("late", "a log came late", stamp=1)
    assert told == [Notice("late", "a log came late", clock.now(), {"stamp": 1})]


def test_a_notice_that_was_made_elsewhere_is_handed_on() -> None:
    told: list[Notice] = []
    notice = Notice("retrying", "again", FakeClock().now())
    Notifier(told.append, FakeClock(), lambda error: None).hand_on(notice)
    assert told == [notice]


def test_without_a_callback_nothing_is_told() -> None:
    failures: list[BaseException] = []
    Notifier(None, FakeClock(), failures.append).notify("late", "a log came late")
    assert failures == []


def test_what_the_callback_raises_is_the_reader_s_once_and_ends_the_telling() -> None:
    """Each task that tells something would fail by it again."""
    told, failures = [], list[BaseException]()
    error = KeyboardInterrupt()

    def fail(notice: Notice) -> None:
        told.append(notice)
        raise error

    notifier = Notifier(fail, FakeClock(), failures.append)
    notifier.notify("late", "one")
    notifier.notify("late", "two")
    assert (len(told), failures) == (1, [error])


def test_what_is_said_once_is_said_again_after_it_was_taken_back() -> None:
    """By the beginning of its key; under another key it is said beside."""
    told: list[Notice] = []
    notifier = Notifier(told.append, FakeClock(), lambda error: None)
    for _ in range(2):
        notifier.say_once("history: 503", "history_off", "503", status=503)
        notifier.say_once("history: 500", "history_off", "500")
        notifier.say_once("behind", "behind", "slow")
    assert [notice.text for notice in told] == ["503", "500", "slow"]
    assert told[0].facts == {"status": 503}
    notifier.unsay("history")
    for key in ("history: 503", "behind"):
        notifier.say_once(key, "warning", key)
    assert [notice.text for notice in told[3:]] == ["history: 503"]
